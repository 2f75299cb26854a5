"""The bound of what a sweep on Batch costs, and the time that a cap leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from dayfly.aws.batch_cost import (
    MOST_ATTEMPTS,
    PriceBound,
    limits_within,
    most_cost,
    price_bound,
    timeout_within,
)
from dayfly.aws.instance_types import InstanceType
from dayfly.aws.prices import Price
from dayfly.errors import UsageError

AT = datetime(2026, 11, 23, tzinfo=UTC)
GIB = 1 << 30


def type_(name: str, vcpus: int, gib: int) -> InstanceType:
    return InstanceType(name=name, vcpus=vcpus, memory_bytes=gib * GIB, archs=("x86_64",))


TYPES = {
    one.name: one
    for one in (type_("c6i.large", 2, 4), type_("r6i.large", 2, 16), type_("p4d.huge", 96, 1152))
}
PRICES = {
    name: Price(per_hour=Decimal(dollars), at=AT)
    for name, dollars in {"c6i.large": "0.08", "r6i.large": "0.12", "p4d.huge": "30"}.items()
}


def test_the_dearest_share_of_the_allowed_types_is_the_bound() -> None:
    bound = price_bound(["c6i", "r6i"], TYPES, PRICES, vcpus=1, memory_bytes=GIB)
    assert bound == PriceBound(per_hour=Decimal("0.06"), instance_type="r6i.large")


def test_a_share_of_memory_counts_where_it_is_the_greater_one() -> None:
    few = price_bound(["c6i.large"], TYPES, PRICES, vcpus=1, memory_bytes=GIB)
    much = price_bound(["c6i.large"], TYPES, PRICES, vcpus=1, memory_bytes=3 * GIB)
    assert few is not None
    assert much is not None
    assert few.per_hour == Decimal("0.04") < much.per_hour <= Decimal("0.08")


def test_types_that_a_point_does_not_fit_bound_nothing() -> None:
    bound = price_bound(["c6i", "r6i"], TYPES, PRICES, vcpus=1, memory_bytes=8 * GIB)
    assert bound is not None
    assert bound.instance_type == "r6i.large"
    assert price_bound(["c6i"], TYPES, {}, vcpus=1, memory_bytes=GIB) is None


BOUND = PriceBound(per_hour=Decimal("0.06"), instance_type="r6i.large")


def test_a_cap_that_is_enough_leaves_the_time_as_it_is() -> None:
    assert timeout_within(100.0, BOUND, points=100, timeout_s=3600.0, beside_s=310.0) == 3600.0


@pytest.mark.parametrize("points", [10, 1000])
def test_a_cap_shortens_the_time_so_that_all_points_together_keep_it(points: int) -> None:
    cap = 0.02 * points
    timeout_s = timeout_within(cap, BOUND, points=points, timeout_s=8 * 3600.0, beside_s=310.0)
    assert 60 < timeout_s < 8 * 3600
    assert most_cost(BOUND, points, timeout_s + 310.0) <= Decimal(str(cap)).quantize(Decimal("0.01"))


def test_a_cap_that_pays_for_saving_only_is_refused_with_what_would_do() -> None:
    with pytest.raises(UsageError) as refused:
        timeout_within(0.5, BOUND, points=1000, timeout_s=3600.0, beside_s=310.0)
    assert "r6i.large" in refused.value.why
    assert "$6.17 would do" in refused.value.why


def test_a_cap_without_prices_is_refused() -> None:
    with pytest.raises(UsageError):
        timeout_within(5.0, None, points=10, timeout_s=3600.0, beside_s=310.0)


def test_without_a_cap_batch_may_repeat_as_often_as_its_definition_says() -> None:
    limits = limits_within(None, BOUND, points=10, timeout_s=3290.0, beside_s=310.0)
    assert (limits.attempts, limits.timeout_s, limits.attempt_s) == (MOST_ATTEMPTS, 3290.0, 3600.0)


@pytest.mark.parametrize(("cap", "attempts"), [(1.79, 2), (1.80, 3), (0.60, 1), (0.59, 1)])
def test_a_cap_gives_up_repetitions_before_it_shortens_the_time(cap: float, attempts: int) -> None:
    """Ten points of an hour at six cents are 60 cents a time."""
    limits = limits_within(cap, BOUND, points=10, timeout_s=3290.0, beside_s=310.0)
    assert limits.attempts == attempts
    assert (limits.timeout_s == 3290.0) == (cap >= 0.6)
    assert most_cost(BOUND, 10 * attempts, limits.attempt_s) <= Decimal(str(cap))


def test_what_was_spent_before_is_taken_from_the_cap() -> None:
    limits = limits_within(1.80, BOUND, points=10, timeout_s=3290.0, beside_s=310.0, spent=Decimal("0.60"))
    assert limits.attempts == 2


def test_when_nothing_is_left_it_says_what_was_spent_and_what_to_do() -> None:
    with pytest.raises(UsageError) as refused:
        limits_within(1.0, BOUND, points=1, timeout_s=60.0, beside_s=310.0, spent=Decimal("1.02"))
    assert "Nothing is left of --max-cost 1" in refused.value.what
    assert "$1.02" in refused.value.why
    assert "higher --max-cost" in refused.value.hint

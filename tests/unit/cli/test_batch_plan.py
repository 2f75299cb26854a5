"""What a user reads before points are submitted to AWS Batch."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from dayfly.aws.batch_cost import PriceBound
from dayfly.aws.batch_plan import BatchPlan
from dayfly.cli.batch_plan import agree_to_batch, batch_facts, batch_lines
from dayfly.errors import UsageError
from dayfly.runs.batch_record import BatchSubmission
from dayfly.runs.store import open_store
from tests.unit.aws.batch_support import POINTS, PRICE, submission
from tests.unit.runs.sweep_stores import put_sweep
from tests.unit.support import NOW

BOUND = PriceBound(per_hour=PRICE, instance_type="r6i.large")


def a_plan(
    bound: PriceBound | None = BOUND, *, record: dict[str, Any] | None = None, **fields: Any
) -> BatchPlan:
    """A plan of four points, in two array jobs."""
    store = open_store("memory://")
    sweep = put_sweep(store, POINTS, backend="batch")
    made = submission(store, sweep, price=None if bound is None else bound.per_hour)
    planned = BatchSubmission.model_validate(made.model_dump() | (record or {}))
    wanted = tuple((index, 1) for index in range(4))
    return BatchPlan(sweep=sweep, image="i", wanted=wanted, record=planned, bound=bound, **fields)


def lines(plan: BatchPlan) -> dict[str, str]:
    return dict(batch_lines(plan))


def test_it_says_what_is_submitted_where_and_until_when() -> None:
    said = lines(a_plan())
    assert said["submits"] == "4 points in 2 array jobs"
    assert said["a point"] == "1 vCPU, 1,800 MiB"
    assert said["queue"] == "q in r, spot"
    assert said["timeout"] == "10m 00s a run"
    assert said["gone by"].endswith("(in 5h 00m)")


def test_the_cost_is_told_with_and_without_repetitions_and_by_which_price() -> None:
    cost = lines(a_plan(record={"most_cost": Decimal(108), "attempts": 3}))["cost"]
    assert cost == "at most $108.00; $36.00 where none is repeated ($36.0000/h a point at most, on r6i.large)"


def test_what_was_spent_before_is_told_beside_it() -> None:
    plan = a_plan(record={"most_cost": Decimal(10), "attempts": 1}, spent=Decimal(5))
    assert lines(plan)["cost"].startswith("at most $10.00 (")
    assert lines(plan)["cost"].endswith("; before it at most $5.00")


def test_what_a_cap_has_taken_away_is_told_with_what_was_asked_for() -> None:
    said = lines(a_plan(record={"attempts": 1}, shortened_from_s=3600.0))
    assert said["timeout"] == "10m 00s a run, in place of 1h 00m: --max-cost pays for no more"
    assert said["attempts"] == "1 a point at most, in place of 3: --max-cost pays for no more"


def test_a_price_that_is_unknown_is_said_to_be() -> None:
    plan = a_plan(None)
    assert lines(plan)["cost"].startswith("unknown")
    facts = batch_facts(plan)
    assert facts is not None
    assert (facts["price_per_hour"], facts["at_most_dollars"]) == (None, None)


def test_programs_read_dollars_as_text_and_times_in_utc() -> None:
    facts = batch_facts(a_plan(spent=Decimal("0.5")))
    assert facts is not None
    assert (facts["points"], facts["array_jobs"], facts["priced_as"]) == (4, 2, "r6i.large")
    assert (facts["price_per_hour"], facts["spent_dollars"]) == ("36", "0.5")
    assert facts["deadline"] == (NOW + timedelta(hours=5)).isoformat()
    assert batch_facts(None) is None, "nothing is to be submitted"


def test_what_is_agreed_to_is_so_many_points_for_so_much() -> None:
    agreed = agree_to_batch(a_plan(), yes=False, quiet=True)
    assert (agreed.points, agreed.most_cost) == (4, 4 * PRICE)
    agreed.require(a_plan(record={"most_cost": Decimal(100)}))
    with pytest.raises(UsageError, match="has changed since you agreed"):
        agreed.require(a_plan(record={"most_cost": Decimal(145)}))
    with pytest.raises(UsageError):
        agreed.require(a_plan(None))


def test_where_nothing_was_open_nothing_was_agreed_to() -> None:
    with pytest.raises(UsageError, match="nothing was submitted"):
        agree_to_batch(None, yes=True).require(a_plan())

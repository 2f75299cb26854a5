from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.aws.choose import alternatives, choose_type
from dayfly.aws.fit import Wanted, count_gpus, usable_memory_bytes
from dayfly.aws.instance_types import InstanceType
from dayfly.aws.offers import describe_type
from dayfly.aws.prices import Price
from dayfly.errors import UsageError
from tests.unit.aws.instance_types import real_types
from tests.unit.aws.stubbed import NOW, REGION

GB, GIB = 10**9, 1 << 30


def _prices(**dollars: str) -> dict[str, Price]:
    return {name.replace("_", "."): Price(per_hour=Decimal(text), at=NOW) for name, text in dollars.items()}


PRICES = _prices(
    m7i_2xlarge="0.4032",
    m7a_2xlarge="0.4637",
    m7i_4xlarge="0.8064",
    r7i_2xlarge="0.5292",
    c7i_2xlarge="0.3570",
    m7g_2xlarge="0.3264",
    t3_2xlarge="0.3328",
    t3_xlarge="0.1664",
    g6_xlarge="0.8048",
    g4dn_xlarge="0.5260",
    p5_48xlarge="98.32",
)
TYPES = {name.replace("_", "."): real_types()[name] for name in PRICES}
BIG = Wanted(cpus=8, memory_bytes=32 * GB)


def test_takes_the_cheapest_that_fits_and_says_which_why_and_what_would_be_next() -> None:
    choice = choose_type(BIG, TYPES, PRICES, region=REGION)
    assert choice.describe() == (
        "m7i.2xlarge: 8 vCPUs, 32 GiB, $0.4032/h; the cheapest of 4 that fit; "
        "next: m7a.2xlarge $0.4637/h, r7i.2xlarge $0.5292/h"
    )


def test_memory_is_what_is_left_for_a_notebook() -> None:
    """Of 32 GiB (34.4 GB), the system and dayfly need some: 32 GB fit, 32 GiB do not."""
    assert choose_type(BIG, TYPES, PRICES, region=REGION).type.name == "m7i.2xlarge"
    more = replace(BIG, memory_bytes=32 * GIB)
    assert choose_type(more, TYPES, PRICES, region=REGION).type.name == "r7i.2xlarge"


def test_processors_alone_take_whatever_memory_goes_with_them() -> None:
    assert choose_type(Wanted(cpus=8), TYPES, PRICES, region=REGION).type.name == "c7i.2xlarge"


def test_burstable_types_are_for_those_who_name_them() -> None:
    """They are slowed down, or billed beyond their price, when a notebook keeps them busy."""
    named = choose_type(Wanted(instance="t3.xlarge"), TYPES, PRICES, region=REGION)
    assert named.describe() == "t3.xlarge: 4 vCPUs, 16 GiB, $0.1664/h; as named"
    assert choose_type(Wanted(), TYPES, PRICES, region=REGION).type.name == "c7i.2xlarge"


@pytest.mark.parametrize(
    "change",
    [
        {"bare_metal": True},
        {"special": True},
        {"current_generation": False},
        {"on_demand": False},
        {"gpu_name": "L4", "gpu_share": 0.125},
        {"archs": ("arm64",)},
        {"name": "m7i-flex.2xlarge"},
    ],
    ids=str,
)
def test_what_nobody_asked_for_is_left_out(change: dict[str, object]) -> None:
    cheap = replace(TYPES["m7i.2xlarge"], **change)  # type: ignore[arg-type]
    prices = {**PRICES, cheap.name: Price(per_hour=Decimal("0.01"), at=NOW)}
    choice = choose_type(BIG, {**TYPES, "m7i.2xlarge": cheap}, prices, region=REGION)
    assert choice.type.name == "m7a.2xlarge"


def test_a_gpu_is_a_whole_one_of_nvidia() -> None:
    wanted = Wanted(gpus=1)
    choice = choose_type(wanted, TYPES, PRICES, region=REGION)
    assert choice.offer.describe() == "g4dn.xlarge: 4 vCPUs, 16 GiB, 1 x T4 with 16 GiB, $0.5260/h"
    others = {
        "a": replace(TYPES["g4dn.xlarge"], name="g4ad.xlarge", gpu_maker="AMD"),
        "b": replace(TYPES["g4dn.xlarge"], name="g6f.xlarge", gpu_share=0.25),
    }
    cheap = {"g4ad.xlarge": PRICES["t3.xlarge"], "g6f.xlarge": PRICES["t3.xlarge"]}
    assert (
        choose_type(wanted, {**TYPES, **others}, {**PRICES, **cheap}, region=REGION).type.name
        == "g4dn.xlarge"
    )


def test_the_image_decides_between_processors() -> None:
    arm = replace(BIG, arch="arm64")
    assert choose_type(arm, TYPES, PRICES, region=REGION).describe() == (
        "m7g.2xlarge: 8 vCPUs, 32 GiB, $0.3264/h; the only one that fits"
    )


def test_without_prices_the_smallest_plain_type_of_the_newest_generation() -> None:
    choice = choose_type(BIG, real_types(), {}, region=REGION)
    assert choice.type.name.startswith("m8")
    assert "price unknown; the smallest (prices are unknown) of " in choice.describe()


def test_a_type_without_a_price_comes_after_all_that_have_one() -> None:
    known = {"r7i.2xlarge": PRICES["r7i.2xlarge"]}
    assert choose_type(BIG, TYPES, known, region=REGION).type.name == "r7i.2xlarge"


def test_spot_needs_types_of_which_spare_capacity_is_sold() -> None:
    none = {**TYPES, "m7i.2xlarge": replace(TYPES["m7i.2xlarge"], spot=False)}
    prices = {name: replace(price, kind="spot") for name, price in PRICES.items()}
    choice = choose_type(replace(BIG, spot=True), none, prices, region=REGION)
    assert choice.offer.describe() == "m7a.2xlarge: 8 vCPUs, 32 GiB, $0.4637/h spot"


def test_types_that_the_network_lacks_are_left_out() -> None:
    choice = choose_type(BIG, TYPES, PRICES, region=REGION, without={"m7i.2xlarge"})
    assert choice.type.name == "m7a.2xlarge"


def _refusal(wanted: Wanted) -> UsageError:
    with pytest.raises(UsageError) as refusal:
        choose_type(wanted, TYPES, PRICES, region=REGION)
    return refusal.value


def test_a_name_that_the_region_does_not_have_is_told_with_those_that_are_close() -> None:
    refusal = _refusal(Wanted(instance="m7i.2xlage"))
    assert refusal.what == "eu-central-1 has no instance type 'm7i.2xlage'."
    assert refusal.why.startswith("Those of eu-central-1 that are called almost so: m7i.2xlarge, ")
    assert _refusal(Wanted(instance="nonsense")).why == ""


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (Wanted(instance="m7g.2xlarge", arch="x86_64"), "the project's image is for x86_64"),
        (Wanted(instance="m7i.2xlarge", cpus=9), "9 processors are asked for"),
        (
            Wanted(instance="m7i.2xlarge", memory_bytes=40 * GB),
            "40 GB are asked for, and 33.1 GB are left for a notebook",
        ),
        (Wanted(instance="m7i.2xlarge", gpus=1), "GPUs are asked for: 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.instance,
)
def test_a_named_type_that_will_not_do_is_told_with_one_that_would(wanted: Wanted, problem: str) -> None:
    refusal = _refusal(wanted)
    assert refusal.what == f"{wanted.instance} will not do: {problem}."
    assert refusal.hint.startswith("This would do: ")


def test_a_named_type_that_is_not_sold_as_asked_will_not_do() -> None:
    only_spot = {"a.large": replace(TYPES["m7i.2xlarge"], name="a.large", on_demand=False, spot=False)}
    for spot, reason in (
        (True, "AWS sells no spare capacity of it"),
        (False, "AWS does not sell it by the hour"),
    ):
        with pytest.raises(UsageError, match=reason):
            choose_type(Wanted(instance="a.large", spot=spot), only_spot, {}, region=REGION)


def test_more_than_there_is_is_told_with_the_biggest_there_is() -> None:
    refusal = _refusal(Wanted(gpus=16, memory_bytes=64 * GB))
    assert refusal.what == (
        "eu-central-1 has no instance type with 2 processors, 64 GB for the notebook, 16 GPUs, x86_64."
    )
    assert refusal.why == ("The biggest there is: p5.48xlarge: 192 vCPUs, 2,048 GiB, 8 x H100 with 640 GiB.")


def test_where_capacity_is_lacking_other_families_would_do() -> None:
    """A bigger one of the same family lacks it too."""
    names = [offer.type.name for offer in alternatives("m7i.2xlarge", BIG, TYPES, PRICES)]
    assert names == ["m7a.2xlarge", "r7i.2xlarge"]


def test_in_place_of_a_named_type_what_is_as_big_and_as_fast_to_start() -> None:
    wanted = Wanted(instance="g4dn.xlarge")
    assert [offer.type.name for offer in alternatives("g4dn.xlarge", wanted, TYPES, PRICES)] == [
        "g6.xlarge",
        "p5.48xlarge",
    ]
    arm = Wanted(instance="m7g.2xlarge")
    assert alternatives("m7g.2xlarge", arm, TYPES, PRICES) == ()
    assert alternatives("unheard.of", arm, TYPES, PRICES) == ()


@pytest.mark.parametrize(
    ("text", "count"), [(None, 0), ("", 0), ("0", 0), ("all", 1), ("4", 4), ("device=0", 1)]
)
def test_counts_the_gpus_that_docker_is_asked_for(text: str | None, count: int) -> None:
    assert count_gpus(text) == count


def test_sizes_are_written_without_needless_digits() -> None:
    assert describe_type(real_types()["u7in-32tb.224xlarge"]) == "896 vCPUs, 32,768 GiB"
    assert describe_type(replace(TYPES["m7i.2xlarge"], vcpus=1, memory_bytes=GIB // 2)) == "1 vCPU, 0.5 GiB"


@given(
    cpus=st.none() | st.floats(0.1, 200),
    memory=st.none() | st.integers(1, 3000 * GB),
    gpus=st.integers(0, 8),
    arch=st.sampled_from([None, "x86_64", "arm64"]),
    spot=st.booleans(),
)
def test_whatever_is_chosen_has_what_was_asked(
    cpus: float | None, memory: int | None, gpus: int, arch: str | None, spot: bool
) -> None:
    wanted = Wanted(cpus=cpus, memory_bytes=memory, gpus=gpus, arch=arch, spot=spot)  # type: ignore[arg-type]
    types = real_types()
    try:
        one = choose_type(wanted, types, PRICES, region=REGION).type
    except UsageError as error:
        assert not any(_has(one, wanted) for one in types.values()), error  # noqa: PT017
    else:
        assert _has(one, wanted)


def _has(one: InstanceType, wanted: Wanted) -> bool:
    plain = (
        not (one.burstable or one.bare_metal or one.special or "-flex" in one.name) and one.current_generation
    )
    return (
        plain
        and one.vcpus >= (wanted.cpus or 2)
        and usable_memory_bytes(one) >= (wanted.memory_bytes or 0)
        and one.gpus >= wanted.gpus
        and bool(wanted.gpus) == bool(one.gpu_name)
        and (wanted.arch or "x86_64") in one.archs
        and (one.spot if wanted.spot else one.on_demand)
    )

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.instance_types import load_instance_types, read_instance_type
from dayfly.aws.zones import subnets_with, zones_with
from dayfly.errors import AwsError
from tests.unit.aws.instance_types import ec2_answers, real_types
from tests.unit.aws.stubbed import StubbedAws, cache_in, stubbed_aws

GIB = 1 << 30
OFFERED = "describe_instance_type_offerings"


def test_reads_processors_memory_and_architecture_in_bytes() -> None:
    one = real_types()["m7i.2xlarge"]
    assert (one.vcpus, one.memory_bytes, one.archs, one.gpus) == (8, 32 * GIB, ("x86_64",), 0)
    assert (one.family, one.burstable, one.bare_metal, one.special, one.spot) == (
        "m7i",
        False,
        False,
        False,
        True,
    )
    assert real_types()["m7g.large"].archs == ("arm64",)
    assert real_types()["m7gd.large"].local_disk_bytes == 118 * 10**9


def test_reads_gpus_with_their_memory_and_maker() -> None:
    one = real_types()["p5.48xlarge"]
    assert (one.gpus, one.gpu_name, one.gpu_maker, one.gpu_memory_bytes) == (8, "H100", "NVIDIA", 640 * GIB)


def test_a_share_of_a_gpu_is_no_gpu() -> None:
    one = real_types()["g6f.large"]
    assert (one.gpus, one.gpu_share, one.gpu_name) == (0, 0.125, "L4")


def test_tells_apart_what_is_burstable_bare_or_made_for_one_kind_of_work() -> None:
    types = real_types()
    assert types["t3.large"].burstable
    assert types["m7i.metal-24xl"].bare_metal
    assert all(
        types[name].special for name in ("inf2.xlarge", "trn1.2xlarge", "f2.6xlarge", "hpc7a.96xlarge")
    )


def test_every_type_that_ec2_describes_can_be_read() -> None:
    assert len(real_types()) == len(ec2_answers()) > 1000
    assert all(one.vcpus and one.memory_bytes and one.archs for one in real_types().values())


@pytest.mark.parametrize(
    "changes",
    [
        {"SupportedRootDeviceTypes": ["instance-store"]},
        {"SupportedVirtualizationTypes": ["paravirtual"]},
        {"SupportedInRegion": False},
        {"VCpuInfo": {}},
        {"MemoryInfo": {}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_type_that_no_machine_can_be_made_of_is_none(changes: Any) -> None:
    answer = ec2_answers()["m7i.large"]
    assert read_instance_type(answer) is not None
    changed: Any = {**answer, **changes}
    assert read_instance_type(changed) is None


def _page(
    stubbed: StubbedAws, names: list[str], *, page: str | None = None, following: str | None = None
) -> None:
    known = {"InstanceType", "VCpuInfo", "MemoryInfo", "ProcessorInfo", "CurrentGeneration"}
    infos = [{key: value for key, value in ec2_answers()[name].items() if key in known} for name in names]
    stubbed.answer(
        "ec2",
        "describe_instance_types",
        {"InstanceTypes": infos, **({"NextToken": following} if following else {})},
        {"MaxResults": 100, **({"NextToken": page} if page else {})},
    )


def test_all_pages_are_read_once_a_week(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _page(stubbed, ["m7i.large"], following="2")
        _page(stubbed, ["c7g.large"], page="2")
        first = load_instance_types(stubbed.aws, cache)
        stubbed.clock.pass_by(timedelta(days=7))
        assert load_instance_types(stubbed.aws, cache) == first
        assert {name: one.vcpus for name, one in first.items()} == {"m7i.large": 2, "c7g.large": 2}
        stubbed.clock.pass_by(timedelta(seconds=1))
        _page(stubbed, ["m8i.large"])
        assert set(load_instance_types(stubbed.aws, cache)) == {"m8i.large"}


def test_a_refusal_is_told(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        stubbed.refuse("ec2", "describe_instance_types", "UnauthorizedOperation", "You are not authorized.")
        with pytest.raises(AwsError, match="ec2:DescribeInstanceTypes"):
            load_instance_types(stubbed.aws, cache_in(tmp_path, stubbed.clock))


def _offer(stubbed: StubbedAws, *zones: str, name: str = "m7i.large") -> None:
    stubbed.answer(
        "ec2",
        OFFERED,
        {"InstanceTypeOfferings": [{"InstanceType": name, "Location": zone} for zone in zones]},
        {
            "LocationType": "availability-zone-id",
            "Filters": [{"Name": "instance-type", "Values": ["m7i.large"]}],
        },
    )


def _subnets(stubbed: StubbedAws, zones: dict[str, str]) -> None:
    described = [{"SubnetId": one, "AvailabilityZoneId": zone} for one, zone in zones.items()]
    stubbed.answer("ec2", "describe_subnets", {"Subnets": described}, {"SubnetIds": list(zones)})


def test_zones_are_known_by_ids_which_every_account_shares(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _offer(stubbed, "euc1-az1", "euc1-az3")
        assert zones_with(stubbed.aws, cache, "m7i.large") == {"euc1-az1", "euc1-az3"}
        assert zones_with(stubbed.aws, cache, "m7i.large") == {"euc1-az1", "euc1-az3"}


def test_subnets_keep_their_order_without_those_whose_zone_lacks_the_type(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _offer(stubbed, "euc1-az1", "euc1-az3")
        _subnets(stubbed, {"subnet-3": "euc1-az3", "subnet-2": "euc1-az2", "subnet-1": "euc1-az1"})
        ids = ["subnet-3", "subnet-2", "subnet-1"]
        assert subnets_with(stubbed.aws, cache, ids, "m7i.large") == ("subnet-3", "subnet-1")
        assert subnets_with(stubbed.aws, cache, ids, "m7i.large") == ("subnet-3", "subnet-1")  # no call more


def test_spot_machines_try_the_cheapest_zone_first(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _offer(stubbed, "euc1-az1", "euc1-az2", "euc1-az3")
        zones = {"subnet-1": "euc1-az1", "subnet-2": "euc1-az2", "subnet-3": "euc1-az3"}
        _subnets(stubbed, zones)
        prices = {"euc1-az1": Decimal("0.2"), "euc1-az3": Decimal("0.1")}
        assert subnets_with(stubbed.aws, cache, list(zones), "m7i.large", spot_prices=prices) == (
            "subnet-3",
            "subnet-1",
            "subnet-2",
        )


def test_a_type_that_no_zone_of_the_network_has_leaves_no_subnet(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        _offer(stubbed, "euc1-az2")
        _subnets(stubbed, {"subnet-1": "euc1-az1"})
        cache = cache_in(tmp_path, stubbed.clock)
        assert subnets_with(stubbed.aws, cache, ["subnet-1"], "m7i.large") == ()


def test_where_nothing_is_known_of_zones_nothing_is_left_out(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        _offer(stubbed)
        stubbed.answer("ec2", "describe_subnets", {"Subnets": [{"SubnetId": "subnet-1"}]})
        cache = cache_in(tmp_path, stubbed.clock)
        assert subnets_with(stubbed.aws, cache, ["subnet-1"], "m7i.large") == ("subnet-1",)

"""What a machine is and costs, asked of the emulated AWS; its prices, quotas and images are invented.

It proves the requests, the pages, the number of calls, and that answers are read as boto3 gives them. It
does not prove the filters of the real Price List, nor the quotas' codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.ami import find_ami
from dayfly.aws.cache import Cache, open_cache
from dayfly.aws.choose import choose_type
from dayfly.aws.client import Aws
from dayfly.aws.estimates import whole_price
from dayfly.aws.extras import load_extras
from dayfly.aws.fit import Arch, Wanted
from dayfly.aws.instance_types import load_instance_types
from dayfly.aws.prices import load_prices, load_spot_prices
from dayfly.aws.quotas import TOO_LOW, check_quota, count_running_vcpus, load_quota, quota_for
from dayfly.aws.zones import subnets_with, zones_with
from dayfly.errors import AwsError, UsageError

Counted = Callable[[], AbstractContextManager[list[dict[str, Any]]]]
ACCOUNT = "123456789012"


@pytest.fixture
def cache(aws: Aws, tmp_path: Path) -> Cache:
    return open_cache(aws, {"XDG_CACHE_HOME": str(tmp_path)})


def test_the_whole_region_takes_a_page_for_each_hundred_types_and_then_no_call(
    aws: Aws, cache: Cache, count_calls: Counted
) -> None:
    with count_calls() as cold:
        types, prices = load_instance_types(aws, cache), load_prices(aws, cache)
        load_extras(aws, cache)
        load_spot_prices(aws, cache)
    assert len(types) > 500
    assert types["m7i.2xlarge"].vcpus == 8
    assert set(types) <= set(prices)
    assert len(cold) <= 2 * (len(types) // 100 + 1) + 4 + 10
    with count_calls() as warm:
        load_extras(aws, cache)
        load_spot_prices(aws, cache)
        assert (load_instance_types(aws, cache), load_prices(aws, cache)) == (types, prices)
    assert warm == []


def test_the_cheapest_that_fits_is_chosen_from_what_the_region_has(aws: Aws, cache: Cache) -> None:
    types, prices = load_instance_types(aws, cache), load_prices(aws, cache)
    wanted = Wanted(cpus=8, memory_bytes=32 * 10**9)
    choice = choose_type(wanted, types, prices, region=aws.region)
    assert choice.price is not None
    assert (choice.type.vcpus, choice.price.kind) == (8, "on-demand")
    assert "; the cheapest of " in choice.describe()
    whole = whole_price(choice.price, load_extras(aws, cache), disk_gib=73)
    assert whole is not None
    assert whole.per_hour == choice.price.per_hour + Decimal("0.01") + Decimal("0.01")
    with pytest.raises(UsageError, match=f"{aws.region} has no instance type 'm7i.huge'"):
        choose_type(Wanted(instance="m7i.huge"), types, prices, region=aws.region)


def test_a_named_type_takes_one_call_for_its_price(aws: Aws, cache: Cache, count_calls: Counted) -> None:
    with count_calls() as calls:
        assert set(load_prices(aws, cache, "g5.xlarge")) == {"g5.xlarge"}
    assert len(calls) == 1
    with count_calls() as calls:
        spot = load_spot_prices(aws, cache, "g5.xlarge")
    assert len(calls) == 1
    price = spot.price("g5.xlarge")
    assert price is not None
    assert price.per_hour == max(spot.zones("g5.xlarge").values())
    assert price.kind == "spot"


def test_subnets_are_those_of_zones_that_have_the_type(aws: Aws, cache: Cache) -> None:
    subnets = aws.ec2.describe_subnets()["Subnets"]
    assert subnets
    zones = zones_with(aws, cache, "m7i.2xlarge")
    assert zones
    assert all(re.fullmatch(r"[a-z]+\d+-az\d+", zone) for zone in zones)
    expected = [one["SubnetId"] for one in subnets if one.get("AvailabilityZoneId", "") in {"", *zones}]
    ids = [one["SubnetId"] for one in subnets]
    assert expected
    assert list(subnets_with(aws, cache, ids, "m7i.2xlarge")) == expected


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
@pytest.mark.parametrize("gpus", [False, True])
def test_aws_names_an_image_for_each_kind_of_machine(aws: Aws, cache: Cache, arch: Arch, gpus: bool) -> None:
    ami = find_ami(aws, cache, arch=arch, gpus=gpus)
    assert re.fullmatch(r"ami-[0-9a-f]+", ami.id)
    assert ami.arch == arch
    assert ami.root_device
    assert ami.smallest_disk_gib > 0
    assert find_ami(aws, cache, arch=arch, setting=ami.id) == ami


def test_an_image_or_parameter_that_is_not_there_is_told(aws: Aws, cache: Cache) -> None:
    with pytest.raises(AwsError, match="has no machine image under the SSM parameter /ours"):
        find_ami(aws, cache, arch="x86_64", setting="/ours")


def test_an_account_with_room_passes_and_one_without_is_told_where_to_ask(aws: Aws, cache: Cache) -> None:
    types = load_instance_types(aws, cache)
    quota = quota_for("m7i.2xlarge", spot=False)
    assert quota is not None
    allowed = load_quota(aws, cache, quota, account=ACCOUNT)
    fits = [one for one in types.values() if quota_for(one.name, spot=False) == quota]
    small = next(one for one in fits if one.vcpus <= allowed)
    big = next(one for one in fits if one.vcpus > allowed)
    check_quota(aws, cache, small, spot=False, account=ACCOUNT)
    with pytest.raises(AwsError) as error:
        check_quota(aws, cache, big, spot=False, account=ACCOUNT)
    assert error.value.code == TOO_LOW
    assert error.value.hint.endswith("/services/ec2/quotas/L-1216C47A")
    assert count_running_vcpus(aws, quota) == 0

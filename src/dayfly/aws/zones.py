"""Which availability zones have a type, and so which subnets a machine can be put into.

Zones are known by their ids (`euc1-az1`), which mean the same in every account; the names
(`eu-central-1a`) do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from dayfly.aws.cache import Cache, Fact
from dayfly.aws.client import Aws

OFFERINGS_FOR = timedelta(days=7)
_SUBNETS_FOR = timedelta(days=365)
"""A subnet never moves, and its id is never given to another."""
_UNKNOWN = Decimal("Infinity")
"""The price in a zone of which none is known: it is tried last."""


def zones_with(aws: Aws, cache: Cache, instance_type: str) -> set[str]:
    """The ids of the region's zones that have `instance_type`. Cached for a week. Raises AwsError."""
    return cache.remember(
        f"zones {aws.region} {instance_type}",
        Fact[set[str]],
        max_age=OFFERINGS_FOR,
        load=lambda: _ask_for_zones(aws, instance_type),
    ).value


def _ask_for_zones(aws: Aws, instance_type: str) -> set[str]:
    pages = aws.ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone-id",
        Filters=[{"Name": "instance-type", "Values": [instance_type]}],
    )
    return {
        offering["Location"]
        for page in pages
        for offering in page.get("InstanceTypeOfferings", [])
        if offering.get("InstanceType") == instance_type and offering.get("Location")
    }


def subnets_with(
    aws: Aws,
    cache: Cache,
    subnet_ids: Sequence[str],
    instance_type: str,
    *,
    spot_prices: Mapping[str, Decimal] | None = None,
) -> tuple[str, ...]:
    """Those of `subnet_ids` whose zone has the type, in the order to be tried: as given.

    With `spot_prices` (dollars by zone id: `prices.SpotPrices.zones`) the cheapest zone comes first. Where
    it is not known which zones have the type, or in which zone a subnet lies, nothing is left out. At
    most two calls, none when cached. Raises AwsError.
    """
    zones = zones_with(aws, cache, instance_type)
    where = _zones_of_subnets(aws, cache, subnet_ids)
    usable = [one for one in subnet_ids if not zones or where.get(one, "") in {"", *zones}]
    if spot_prices:
        usable.sort(key=lambda one: spot_prices.get(where.get(one, ""), _UNKNOWN))
    return tuple(usable)


def _zones_of_subnets(aws: Aws, cache: Cache, subnet_ids: Sequence[str]) -> Mapping[str, str]:
    """The id of each subnet's zone."""

    def ask() -> dict[str, str]:
        subnets = aws.ec2.describe_subnets(SubnetIds=list(subnet_ids))["Subnets"]
        return {one["SubnetId"]: one.get("AvailabilityZoneId", "") for one in subnets}

    return cache.remember(
        f"subnets {' '.join(sorted(subnet_ids))}", Fact[dict[str, str]], max_age=_SUBNETS_FOR, load=ask
    ).value

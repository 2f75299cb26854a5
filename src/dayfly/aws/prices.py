"""What a machine costs an hour, as AWS says it: price list and spot history, with the time of each.

There is no price table of our own. What cannot be had is None, and whoever shows it says "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeVar

from dayfly.aws import price_list
from dayfly.aws.cache import Cache, Fact
from dayfly.aws.client import Aws
from dayfly.errors import AwsError

PRICES_FOR = timedelta(days=7)
SPOT_FOR = timedelta(hours=1)
V = TypeVar("V")


@dataclass(frozen=True, kw_only=True)
class Price:
    """Dollars an hour, and when AWS said so (UTC)."""

    per_hour: Decimal
    at: datetime
    kind: Literal["on-demand", "spot"] = "on-demand"


def load_prices(aws: Aws, cache: Cache, name: str | None = None) -> Mapping[str, Price]:
    """On-demand prices of a plain Linux machine, by type; empty when they cannot be had.

    With `name`, one call for that type alone; else a sweep over the region's (some ten calls). Cached for a
    week.
    """
    kind, sweep = Fact[dict[str, Decimal]], f"prices {aws.region}"
    fact = cache.find(sweep, kind, max_age=PRICES_FOR)
    if fact is None or (name and name not in fact.value):
        try:
            fact = cache.remember(
                f"{sweep} {name}" if name else sweep,
                kind,
                max_age=PRICES_FOR,
                load=lambda: _not_empty(price_list.ask_for_instance_prices(aws, name)),
            )
        except (AwsError, LookupError):
            return {}
    return {one: Price(per_hour=price, at=fact.at) for one, price in fact.value.items()}


@dataclass(frozen=True, kw_only=True)
class SpotPrices:
    """Spot prices of a region: dollars an hour by type and zone id, and when AWS said so."""

    by_type: Mapping[str, Mapping[str, Decimal]]
    at: datetime

    def zones(self, instance_type: str) -> Mapping[str, Decimal]:
        """The prices of one type by zone id."""
        return self.by_type.get(instance_type, {})

    def price(self, instance_type: str) -> Price | None:
        """The price in the dearest zone: which zone has capacity is not known before it is asked."""
        zones = self.zones(instance_type)
        return Price(per_hour=max(zones.values()), at=self.at, kind="spot") if zones else None

    def prices(self) -> Mapping[str, Price]:
        """`price` of every type that has one."""
        return {one: price for one in self.by_type if (price := self.price(one)) is not None}


def load_spot_prices(aws: Aws, cache: Cache, name: str | None = None) -> SpotPrices:
    """What spare capacity costs now, in each zone; of one type (one call) or of all (some five calls).

    Empty when it cannot be had. Cached for an hour.
    """
    kind, sweep = Fact[dict[str, dict[str, Decimal]]], f"spot {aws.region}"
    fact = cache.find(sweep, kind, max_age=SPOT_FOR)
    if fact is None or (name and name not in fact.value):
        try:
            fact = cache.remember(
                f"{sweep} {name}" if name else sweep,
                kind,
                max_age=SPOT_FOR,
                load=lambda: _not_empty(_ask_for_spot_prices(aws, name)),
            )
        except (AwsError, LookupError):
            return SpotPrices(by_type={}, at=aws.now())
    return SpotPrices(by_type=fact.value, at=fact.at)


def _ask_for_spot_prices(aws: Aws, name: str | None) -> dict[str, dict[str, Decimal]]:
    """With a start of now, EC2 answers with the price that holds now, for each type and zone."""
    newest: dict[tuple[str, str], tuple[datetime, Decimal]] = {}
    pages = aws.ec2.get_paginator("describe_spot_price_history").paginate(
        StartTime=aws.now(),
        ProductDescriptions=["Linux/UNIX"],
        **({"InstanceTypes": [name]} if name else {}),  # type: ignore[arg-type]
    )
    for page in pages:
        for one in page.get("SpotPriceHistory", []):
            zone = one.get("AvailabilityZoneId") or one.get("AvailabilityZone", "")
            key, said = (str(one["InstanceType"]), zone), one["Timestamp"]
            if key not in newest or newest[key][0] < said:
                newest[key] = (said, Decimal(one["SpotPrice"]))
    found: dict[str, dict[str, Decimal]] = {}
    for (instance_type, zone), (_, price) in newest.items():
        found.setdefault(instance_type, {})[zone] = price
    return found


def _not_empty(found: dict[str, V]) -> dict[str, V]:
    """Nothing is no answer that should be kept for a week."""
    if not found:
        raise LookupError
    return found

"""What a machine costs an hour, as AWS says it: price list and spot history, with the time of each.

There is no price table of our own. What cannot be had is None, and whoever shows it says "unknown".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    fact = _find_or_ask(
        cache,
        Fact[dict[str, Decimal]],
        f"prices {aws.region}",
        name,
        max_age=PRICES_FOR,
        ask=lambda: price_list.ask_for_instance_prices(aws, name),
    )
    if fact is None:
        return {}
    return {one: Price(per_hour=price, at=fact.at) for one, price in fact.value.items()}


@dataclass(frozen=True, kw_only=True)
class SpotPrices:
    """Spot prices of a region: dollars an hour by type and zone, and when AWS said so.

    Zones have their ids; their names where EC2 tells no more.
    """

    by_type: Mapping[str, Mapping[str, Decimal]]
    at: datetime

    def zones(self, instance_type: str) -> Mapping[str, Decimal]:
        """The prices of one type by zone."""
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
    fact = _find_or_ask(
        cache,
        Fact[dict[str, dict[str, Decimal]]],
        f"spot {aws.region}",
        name,
        max_age=SPOT_FOR,
        ask=lambda: _ask_for_spot_prices(aws, name),
    )
    return SpotPrices(by_type=fact.value if fact else {}, at=fact.at if fact else aws.now())


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


def _find_or_ask(  # noqa: PLR0913 -- what is asked, and under which key it is kept
    cache: Cache,
    kind: type[Fact[dict[str, V]]],
    sweep: str,
    name: str | None,
    *,
    max_age: timedelta,
    ask: Callable[[], dict[str, V]],
) -> Fact[dict[str, V]] | None:
    """What is known of all types (kept under `sweep`) or of the named one; None when it cannot be had.

    Nothing is no answer that should be kept.
    """
    fact = cache.find(sweep, kind, max_age=max_age)
    if fact is not None and (name is None or name in fact.value):
        return fact

    def ask_for_something() -> dict[str, V]:
        found = ask()
        if not found:
            raise LookupError
        return found

    key = sweep if name is None else f"{sweep} {name}"
    try:
        return cache.remember(key, kind, max_age=max_age, load=ask_for_something)
    except (AwsError, LookupError):
        return None

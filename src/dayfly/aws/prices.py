"""What a machine costs an hour, as AWS says it: price list and spot history, with the time of each.

There is no price table of our own. What cannot be had is None, and whoever shows it says "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
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
HOURS_A_MONTH = Decimal(730)
"""A twelfth of a year, as AWS's own calculator has it."""
SHORTEST = timedelta(minutes=1)
"""What a machine costs at least: EC2 bills by the second, after a first minute."""
LONGEST = timedelta(days=365)
_HOUR_US = Decimal(3_600_000_000)
V = TypeVar("V")


@dataclass(frozen=True, kw_only=True)
class Price:
    """Dollars an hour, and when AWS said so (UTC)."""

    per_hour: Decimal
    at: datetime
    kind: Literal["on-demand", "spot"] = "on-demand"


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What is paid beside the machine, in dollars; None where it could not be had."""

    disk_per_gib_month: Decimal | None = None
    address_per_hour: Decimal | None = None
    bucket_per_gb_month: Decimal | None = None
    images_per_gb_month: Decimal | None = None


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


def load_extras(aws: Aws, cache: Cache) -> Extras:
    """What is paid beside the machine. Four calls at once, cached for a week; what fails is None."""
    found = cache.find(f"extras {aws.region}", Fact[Extras], max_age=PRICES_FOR)
    if found is not None:
        return found.value
    asks = (
        price_list.ask_for_disk_price,
        price_list.ask_for_address_price,
        price_list.ask_for_bucket_price,
        price_list.ask_for_image_price,
    )

    def ask(number: int) -> Decimal | None:
        try:
            return asks[number](aws)
        except AwsError:
            return None

    with ThreadPoolExecutor(len(asks)) as threads:
        disk, address, bucket, images = threads.map(ask, range(len(asks)))
    extras = Extras(
        disk_per_gib_month=disk,
        address_per_hour=address,
        bucket_per_gb_month=bucket,
        images_per_gb_month=images,
    )
    if None not in (disk, address, bucket, images):
        cache.save(f"extras {aws.region}", Fact[Extras], extras)
    return extras


def whole_price(instance: Price | None, extras: Extras, *, disk_gib: int) -> Price | None:
    """What a machine costs an hour with its disk and its public address: what is billed, not just EC2's part.

    None when the price of the instance is unknown; a disk or address whose price is unknown is left out.
    """
    if instance is None:
        return None
    disk = (extras.disk_per_gib_month or Decimal(0)) * disk_gib / HOURS_A_MONTH
    return Price(
        per_hour=instance.per_hour + disk + (extras.address_per_hour or Decimal(0)),
        at=instance.at,
        kind=instance.kind,
    )


def estimate(price: Price, duration: timedelta) -> Decimal:
    """Dollars for so long; for a minute at least."""
    return price.per_hour * hours(max(duration, SHORTEST))


def deadline_for_cost(max_cost: Decimal, price: Price) -> timedelta:
    """How long a machine may live for so many dollars: whole seconds, rounded down, at most a year.

    The boot and the end are in it: it is the time from the machine's creation to its deadline.
    """
    if price.per_hour <= 0:
        return LONGEST
    seconds = min(max_cost / price.per_hour * 3600, Decimal(int(LONGEST.total_seconds())))
    return timedelta(seconds=int(seconds))


def hours(duration: timedelta) -> Decimal:
    """A duration in hours, exactly."""
    return Decimal(duration // timedelta(microseconds=1)) / _HOUR_US


def idle_cost(extras: Extras, *, bucket_bytes: int, images_bytes: int) -> Decimal | None:
    """Dollars a month for what is kept while no machine lives; None where a price is unknown.

    The base stack itself (roles, schedule group, launch templates, an empty bucket) costs nothing.
    """
    kept = ((bucket_bytes, extras.bucket_per_gb_month), (images_bytes, extras.images_per_gb_month))
    if any(size and price is None for size, price in kept):
        return None
    return sum((price * size / 10**9 for size, price in kept if price is not None), Decimal(0))

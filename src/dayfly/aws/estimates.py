"""From prices to dollars, and from dollars to time."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from dayfly.aws.extras import Extras
from dayfly.aws.prices import Price

HOURS_A_MONTH = Decimal(730)
"""A twelfth of a year, as AWS's own calculator has it."""
SHORTEST = timedelta(minutes=1)
"""What a machine costs at least: EC2 bills by the second, after a first minute."""
LONGEST = timedelta(days=365)
_HOUR_US = Decimal(3_600_000_000)


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
    return dollars_for(price.per_hour, max(duration, SHORTEST))


def deadline_for_cost(max_cost: Decimal, price: Price) -> timedelta:
    """How long a machine may live for so many dollars: whole seconds, rounded down, at most a year.

    The boot and the end are in it: it is the time from the machine's creation to its deadline.
    """
    if price.per_hour <= 0:
        return LONGEST
    seconds = min(max_cost / price.per_hour * 3600, Decimal(int(LONGEST.total_seconds())))
    return timedelta(seconds=int(seconds))


def dollars_for(per_hour: Decimal, duration: timedelta) -> Decimal:
    """Dollars for so long, to the microsecond."""
    return per_hour * (duration // timedelta(microseconds=1)) / _HOUR_US


def idle_cost(extras: Extras, *, bucket_bytes: int, images_bytes: int) -> Decimal | None:
    """Dollars a month for what is kept while no machine lives; None where a price is unknown.

    The base stack itself (roles, schedule group, launch templates, an empty bucket) costs nothing.
    """
    kept = ((bucket_bytes, extras.bucket_per_gb_month), (images_bytes, extras.images_per_gb_month))
    if any(size and price is None for size, price in kept):
        return None
    return sum((price * size / 10**9 for size, price in kept if price is not None), Decimal(0))

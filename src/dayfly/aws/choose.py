"""Which type of machine: the cheapest that fits, and in words why that one. Nothing here calls AWS."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal

from dayfly.aws.fit import (
    DEFAULT_ARCH,
    DEFAULT_CPUS,
    Wanted,
    eligible,
    fits,
    least_memory_bytes,
    usable_memory_bytes,
    why_not,
)
from dayfly.aws.instance_types import InstanceType
from dayfly.aws.offers import Choice, Offer, describe_type
from dayfly.aws.prices import Price
from dayfly.errors import UsageError

_RUNNERS_UP = 2


def choose_type(
    wanted: Wanted,
    types: Mapping[str, InstanceType],
    prices: Mapping[str, Price],
    *,
    region: str,
    without: Collection[str] = (),
) -> Choice:
    """The type that was named, or the cheapest that fits; of those without a price, the smallest.

    `prices` are of the kind that is wanted, spot or on-demand; `without` leaves out types, such as those that
    the subnets' zones do not have. Raises UsageError that says which would do.
    """
    if wanted.instance is not None:
        return _named(wanted, wanted.instance, types, prices, region)
    offers = _fitting(wanted, types, prices, without)
    if not offers:
        raise _nothing_fits(wanted, types, region)
    return Choice(offer=offers[0], runners_up=tuple(offers[1 : 1 + _RUNNERS_UP]), fitting=len(offers))


def alternatives(
    lacking: str,
    wanted: Wanted,
    types: Mapping[str, InstanceType],
    prices: Mapping[str, Price],
    limit: int = 3,
) -> tuple[Offer, ...]:
    """What would do in place of a type that no zone has capacity for: the cheapest of each other family.

    Types of one family lack capacity together, so a bigger one of the same would not do. For a type that was
    named, whatever is at least as big.
    """
    type_ = types.get(lacking)
    if type_ is None:
        return ()
    if wanted.instance is not None:
        wanted = replace(
            wanted,
            instance=None,
            cpus=type_.vcpus,
            memory_bytes=usable_memory_bytes(type_),
            gpus=type_.gpus,
            arch=wanted.arch or ("arm64" if "arm64" in type_.archs else "x86_64"),
        )
    by_family: dict[str, Offer] = {}
    for offer in _fitting(wanted, types, prices, ()):
        if offer.type.family != type_.family:
            by_family.setdefault(offer.type.family, offer)
    return tuple(by_family.values())[:limit]


def _fitting(
    wanted: Wanted,
    types: Mapping[str, InstanceType],
    prices: Mapping[str, Price],
    without: Collection[str],
) -> list[Offer]:
    offers = [
        Offer(type=one, price=prices.get(one.name))
        for one in types.values()
        if one.name not in without and eligible(one, wanted) and fits(one, wanted)
    ]
    return sorted(offers, key=_order)


def _order(offer: Offer) -> tuple[bool, Decimal, int, int, bool, int, str]:
    """By price; of one price, or with none known, the smallest, without disks of its own, the newest."""
    one = offer.type
    per_hour = offer.price.per_hour if offer.price else Decimal(0)
    size = one.vcpus, one.memory_bytes, one.local_disk_bytes > 0
    digits = re.search(r"[0-9]+", one.family, re.ASCII)
    return offer.price is None, per_hour, *size, -int(digits[0]) if digits else 0, one.name


def _named(
    wanted: Wanted, name: str, types: Mapping[str, InstanceType], prices: Mapping[str, Price], region: str
) -> Choice:
    one = types.get(name)
    if one is None:
        close = difflib.get_close_matches(name, types, 3, 0.75)
        raise UsageError(
            f"{region} has no instance type {name!r}.",
            why=f"Those of {region} that are called almost so: {', '.join(close)}." if close else "",
            hint="Name another with --instance, say what is needed (--cpus 8 --memory 32GB), "
            "or take a region that has it: [aws] region in dayfly.toml",
        )
    problem = why_not(one, wanted)
    if problem:
        others = _fitting(replace(wanted, instance=None), types, prices, ())
        raise UsageError(
            f"{name} will not do: {problem}.",
            why=f"It has {describe_type(one)}, {' or '.join(one.archs) or 'unknown processors'}.",
            hint=f"This would do: {others[0].describe()}" if others else "",
        )
    return Choice(offer=Offer(type=one, price=prices.get(name)), named=True)


def _nothing_fits(wanted: Wanted, types: Mapping[str, InstanceType], region: str) -> UsageError:
    asked = [f"{wanted.cpus or DEFAULT_CPUS:g} processors"]
    if memory := least_memory_bytes(wanted):
        asked.append(f"{memory / 1e9:.3g} GB for the notebook")
    if wanted.gpus:
        asked.append(f"{wanted.gpus} GPU{'s' if wanted.gpus > 1 else ''}")
    asked.append(wanted.arch or DEFAULT_ARCH)
    if wanted.spot:
        asked.append("spot")
    nearest = [one for one in types.values() if _fits_but_for_size(one, wanted)]
    biggest = max(nearest, key=lambda one: (one.gpus, one.memory_bytes, one.vcpus), default=None)
    return UsageError(
        f"{region} has no instance type with {', '.join(asked)}.",
        why=f"The biggest there is: {biggest.name}: {describe_type(biggest)}." if biggest else "",
        hint="Ask for less, or take another region: [aws] region in dayfly.toml",
    )


def _fits_but_for_size(one: InstanceType, wanted: Wanted) -> bool:
    least = Wanted(cpus=1, memory_bytes=1, gpus=min(wanted.gpus, 1), arch=wanted.arch, spot=wanted.spot)
    return eligible(one, wanted) and fits(one, least)

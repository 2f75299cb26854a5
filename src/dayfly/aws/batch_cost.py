"""What a sweep on AWS Batch can cost at most, and how long its points may take for so many dollars.

Batch chooses the machines, so the price is bounded by the dearest that it may choose: for each allowed type,
a point's share of the machine (of its processors or of its memory, whichever is more) times its price. What
Batch leaves idle of a machine, between points and in its last minutes, is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

from dayfly.aws.estimates import dollars_for
from dayfly.aws.fit import usable_memory_bytes
from dayfly.aws.instance_types import InstanceType
from dayfly.aws.money import dollars, dollars_per_hour
from dayfly.aws.prices import Price
from dayfly.errors import UsageError

LEAST_TIMEOUT_S = 60.0
"""A sweep whose points would have less time than this is not worth its submission."""
MOST_ATTEMPTS = 3
"""How often Batch begins a point at most, as the model of the job definition has it (`base.yaml`)."""


@dataclass(frozen=True, kw_only=True)
class PriceBound:
    """The dearest share: dollars an hour for one point, and of which type."""

    per_hour: Decimal
    instance_type: str


def price_bound(
    allowed: Iterable[str],
    types: Mapping[str, InstanceType],
    prices: Mapping[str, Price],
    *,
    vcpus: int,
    memory_bytes: int,
) -> PriceBound | None:
    """The dearest share of any allowed type that a point fits in; None when no price is known."""
    names = tuple(allowed)
    found = [
        PriceBound(per_hour=price.per_hour * _share(one, vcpus, memory_bytes), instance_type=one.name)
        for one in types.values()
        if (one.name in names or one.family in names)
        and one.vcpus >= vcpus
        and usable_memory_bytes(one) >= memory_bytes
        and (price := prices.get(one.name)) is not None
    ]
    return max(found, key=lambda bound: bound.per_hour, default=None)


def _share(one: InstanceType, vcpus: int, memory_bytes: int) -> Decimal:
    return max(Decimal(vcpus) / one.vcpus, Decimal(memory_bytes) / usable_memory_bytes(one))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a point may take. Durations are seconds."""

    timeout_s: float
    """The notebook's time."""
    attempt_s: float
    """That, and grace and saving."""
    attempts: int
    """How often Batch may begin it: again only where its machine broke or was taken back."""


def most_cost(bound: PriceBound, attempts: int, attempt_s: float) -> Decimal:
    """Dollars when so many attempts take all of their time."""
    one = dollars_for(bound.per_hour, timedelta(seconds=attempt_s))
    return (one * attempts).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def limits_within(  # noqa: PLR0913 -- what there is to be spent, and on what
    max_cost: float | None,
    bound: PriceBound | None,
    *,
    points: int,
    timeout_s: float,
    beside_s: float,
    spent: Decimal = Decimal(0),
) -> Limits:
    """How long and how often each point may run, so that the whole sweep costs no more than it may.

    What is given up first is Batch's own retries, then the notebooks' time: the time was asked for, and a
    point whose machine was taken back stays open. `spent` is what the sweep may have cost before.
    Raises UsageError when too little is left.
    """
    if max_cost is None:
        return Limits(timeout_s=timeout_s, attempt_s=timeout_s + beside_s, attempts=MOST_ATTEMPTS)
    shortened_s = timeout_within(
        max_cost, bound, points=points, timeout_s=timeout_s, beside_s=beside_s, spent=spent
    )
    attempt_s = shortened_s + beside_s
    once = most_cost(bound, points, attempt_s) if bound is not None else Decimal(0)
    paid = int((Decimal(str(max_cost)) - spent) / once) if once else MOST_ATTEMPTS
    return Limits(timeout_s=shortened_s, attempt_s=attempt_s, attempts=min(max(paid, 1), MOST_ATTEMPTS))


def timeout_within(  # noqa: PLR0913 -- what there is to be spent, and on what
    max_cost: float,
    bound: PriceBound | None,
    *,
    points: int,
    timeout_s: float,
    beside_s: float,
    spent: Decimal = Decimal(0),
) -> float:
    """The notebooks' time, so short that one attempt at each point is paid by what is left.

    `beside_s` is what an attempt has besides: grace and saving. Raises UsageError when that is too little.
    """
    if bound is None:
        raise UsageError(
            f"--max-cost {max_cost:g} cannot be kept.",
            why="The prices of the machines that Batch may take are not known.",
            hint="Limit the time instead: --timeout",
        )
    if points == 0:
        return timeout_s
    left = Decimal(str(max_cost)) - spent
    if left <= 0:
        raise UsageError(
            f"Nothing is left of --max-cost {max_cost:g}.",
            why=f"What was submitted of this sweep before may have cost {dollars(spent)}.",
            hint=_MORE,
        )
    seconds = float(left / (bound.per_hour * points) * 3600) - beside_s
    if seconds < min(LEAST_TIMEOUT_S, timeout_s):
        before = f", of which {dollars(spent)} may be spent," if spent else ""
        would_do = dollars(spent + most_cost(bound, points, beside_s + LEAST_TIMEOUT_S))
        raise UsageError(
            f"--max-cost {max_cost:g}{before} is too little for {points} points.",
            why=f"A point can cost {dollars_per_hour(bound.per_hour)} ({bound.instance_type}), and saving "
            f"alone may take {beside_s / 60:.0f} minutes: {would_do} would do.",
            hint=_MORE if spent else "Allow more, ask for fewer processors or points, or take --spot",
        )
    return min(timeout_s, float(int(seconds)))


_MORE = "Give the same dayfly sweep with a higher --max-cost: what has succeeded is not run again."

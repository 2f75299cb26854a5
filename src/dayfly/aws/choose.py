"""Which type of machine: the cheapest that fits, and in words why that one. Nothing here calls AWS.

Left out, unless named:

- burstable types (t3, t4g) and flex types (m7i-flex): they are slowed down, or cost more, when their processors
  are busy for long, and a notebook that needs a machine of its own keeps them busy. Neither its time nor
  its price could be foretold.
- bare metal: it takes many minutes to boot, and whole hosts.
- types of previous generations: dearer for what they do, and scarce.
- parts of a GPU, and GPUs that are not NVIDIA's: the machine image has drivers for whole ones of NVIDIA.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from dayfly.aws.instance_types import InstanceType
from dayfly.aws.money import dollars_per_hour
from dayfly.aws.prices import Price
from dayfly.errors import UsageError

Arch = Literal["x86_64", "arm64"]

DEFAULT_CPUS = 2.0
DEFAULT_MEMORY_BYTES = 8 * 10**9
"""What a machine has at least when nothing is said."""
_RUNNERS_UP = 2
_KERNEL_BYTES = 256 << 20
_KERNEL_SHARE = 0.03
_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of a machine. With `instance`, that type and no other; what else is said is checked.

    `memory_bytes` is what the notebook may use, which is less than the machine has.
    """

    instance: str | None = None
    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: int = 0
    arch: Arch | None = None
    """The image's; None when any will do."""
    spot: bool = False


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A type and what it costs an hour (None: unknown)."""

    type: InstanceType
    price: Price | None

    def describe(self) -> str:
        """`m7i.2xlarge: 8 vCPUs, 32 GiB, $0.4032/h`."""
        return f"{self.type.name}: {describe_type(self.type)}, {describe_price(self.price)}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The type that was chosen, the next cheapest, and how many would have fitted."""

    offer: Offer
    runners_up: tuple[Offer, ...] = ()
    fitting: int = 1
    named: bool = False

    @property
    def type(self) -> InstanceType:
        """The chosen type."""
        return self.offer.type

    @property
    def price(self) -> Price | None:
        """Dollars an hour for the instance alone; see `prices.whole_price`."""
        return self.offer.price

    def describe(self) -> str:
        """One sentence for the plan: which, why, and what would be next."""
        text = self.offer.describe()
        if self.named:
            return f"{text}; as named"
        least = "the cheapest" if self.price is not None else "the smallest (prices are unknown)"
        text += f"; {least} of {self.fitting} that fit" if self.fitting > 1 else "; the only one that fits"
        if self.runners_up:
            following = (f"{one.type.name} {describe_price(one.price)}" for one in self.runners_up)
            text += f"; next: {', '.join(following)}"
        return text


def describe_type(one: InstanceType) -> str:
    """`8 vCPUs, 32 GiB`, with its GPUs where it has some."""
    parts = [f"{one.vcpus} vCPU{'s' if one.vcpus != 1 else ''}", f"{one.memory_bytes / _GIB:,.4g} GiB"]
    if one.gpus:
        memory = f" with {one.gpu_memory_bytes / _GIB:,.0f} GiB" if one.gpu_memory_bytes else ""
        parts.append(f"{one.gpus} × {one.gpu_name or 'GPU'}{memory}")
    return ", ".join(parts)


def describe_price(price: Price | None) -> str:
    """`$0.4032/h`, `$0.1523/h spot`, or that it is unknown."""
    if price is None:
        return "price unknown"
    return dollars_per_hour(price.per_hour) + (" spot" if price.kind == "spot" else "")


def usable_memory_bytes(one: InstanceType) -> int:
    """What a notebook can have of a machine's memory: less what the operating system and dayfly need."""
    return max(0, int(one.memory_bytes * (1 - _KERNEL_SHARE)) - _KERNEL_BYTES)


def count_gpus(text: str | None) -> int:
    """How many GPUs the setting `gpus` asks of a machine. `all` is whatever it has: at least one."""
    if text is None or text.strip() in {"", "0"}:
        return 0
    return int(text) if text.strip().isdecimal() else 1


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
        wanted = Wanted(
            cpus=type_.vcpus,
            memory_bytes=usable_memory_bytes(type_),
            gpus=type_.gpus,
            arch=wanted.arch,
            spot=wanted.spot,
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
        if one.name not in without and _eligible(one, wanted) and _fits(one, wanted)
    ]
    return sorted(offers, key=_order)


def _order(offer: Offer) -> tuple[bool, Decimal, int, int, str]:
    one = offer.type
    per_hour = offer.price.per_hour if offer.price else Decimal(0)
    return offer.price is None, per_hour, one.vcpus, one.memory_bytes, one.name


def _eligible(one: InstanceType, wanted: Wanted) -> bool:
    """Whether a type is taken that nobody has named (see the top of this module)."""
    plain = one.current_generation and not (one.bare_metal or one.burstable or one.family.endswith("-flex"))
    if wanted.gpus:
        return plain and one.gpu_maker.upper() in {"NVIDIA", ""} and one.gpu_share >= 1
    return plain and not one.gpus


def _fits(one: InstanceType, wanted: Wanted) -> bool:
    return (
        one.vcpus >= (wanted.cpus or DEFAULT_CPUS)
        and usable_memory_bytes(one) >= _memory(wanted)
        and one.gpus >= wanted.gpus
        and (wanted.arch or "x86_64") in one.archs
        and (one.spot if wanted.spot else one.on_demand)
    )


def _memory(wanted: Wanted) -> int:
    """Who says how many processors and nothing of memory takes what goes with them."""
    if wanted.memory_bytes is not None:
        return wanted.memory_bytes
    return 0 if wanted.cpus is not None else DEFAULT_MEMORY_BYTES


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
    problem = _why_not(one, wanted)
    if problem:
        others = _fitting(_without_name(wanted), types, prices, ())
        raise UsageError(
            f"{name} will not do: {problem}.",
            why=f"It has {describe_type(one)}, {' or '.join(one.archs) or 'unknown processors'}.",
            hint=f"The cheapest that would do is {others[0].describe()}." if others else "",
        )
    return Choice(offer=Offer(type=one, price=prices.get(name)), named=True)


def _without_name(wanted: Wanted) -> Wanted:
    return Wanted(
        cpus=wanted.cpus,
        memory_bytes=wanted.memory_bytes,
        gpus=wanted.gpus,
        arch=wanted.arch,
        spot=wanted.spot,
    )


def _why_not(one: InstanceType, wanted: Wanted) -> str:
    """Why a type that was named cannot be taken; empty when it can."""
    if wanted.arch is not None and wanted.arch not in one.archs:
        return f"the project's image is for {wanted.arch}"
    if wanted.spot and not one.spot:
        return "AWS does not sell spare capacity of it"
    if not wanted.spot and not one.on_demand:
        return "AWS does not sell it by the hour"
    if one.vcpus < (wanted.cpus or 0):
        return f"{wanted.cpus:g} processors are asked for"
    if usable_memory_bytes(one) < (wanted.memory_bytes or 0):
        return (
            f"{(wanted.memory_bytes or 0) / 1e9:.3g} GB are asked for, and "
            f"{usable_memory_bytes(one) / 1e9:.3g} GB are left for a notebook"
        )
    if one.gpus < wanted.gpus:
        return f"{wanted.gpus} GPU{'s are' if wanted.gpus > 1 else ' is'} asked for"
    return ""


def _nothing_fits(wanted: Wanted, types: Mapping[str, InstanceType], region: str) -> UsageError:
    asked = [
        f"{wanted.cpus or DEFAULT_CPUS:g} processors",
        f"{_memory(wanted) / 1e9:.3g} GB for the notebook",
    ]
    if wanted.gpus:
        asked.append(f"{wanted.gpus} GPU{'s' if wanted.gpus > 1 else ''}")
    asked.append(wanted.arch or "x86_64")
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
    return _eligible(one, wanted) and _fits(one, least)

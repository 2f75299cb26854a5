"""A type with its price, and the choice of one, in words."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.aws.instance_types import InstanceType
from dayfly.aws.money import dollars_per_hour
from dayfly.aws.prices import Price

_GIB = 1 << 30


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
        """Dollars an hour for the instance alone; see `estimates.whole_price`."""
        return self.offer.price

    def describe(self) -> str:
        """One sentence for the plan: which, why, and what would be next."""
        text = self.offer.describe()
        if self.named:
            return f"{text}; as named"
        least = "the cheapest" if self.price is not None else "the smallest (prices are unknown)"
        text += f"; {least} of {self.fitting} that fit" if self.fitting > 1 else "; the only one that fits"
        if self.runners_up:
            following = (
                f"{one.type.name} {describe_price(one.price) if one.price else ''}".rstrip()
                for one in self.runners_up
            )
            text += f"; next: {', '.join(following)}"
        return text


def describe_type(one: InstanceType) -> str:
    """`8 vCPUs, 32 GiB`, with its GPUs where it has some."""
    memory = f"{one.memory_bytes / _GIB:,.2f}".rstrip("0").rstrip(".")
    parts = [f"{one.vcpus} vCPU{'s' if one.vcpus != 1 else ''}", f"{memory} GiB"]
    if one.gpus:
        theirs = f" with {one.gpu_memory_bytes / _GIB:,.0f} GiB" if one.gpu_memory_bytes else ""
        parts.append(f"{one.gpus} x {one.gpu_name or 'GPU'}{theirs}")
    return ", ".join(parts)


def describe_price(price: Price | None) -> str:
    """`$0.4032/h`, `$0.1523/h spot`, or that it is unknown."""
    if price is None:
        return "price unknown"
    return dollars_per_hour(price.per_hour) + (" spot" if price.kind == "spot" else "")

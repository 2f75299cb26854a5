"""What is asked of a machine, and whether a type of instance will do.

Left out, unless named:

- burstable types (t3, t4g) and flex types (m7i-flex): they are slowed down, or cost more, when their
  processors are busy for long, and a notebook that needs a machine of its own keeps them busy. Neither its
  time nor its price could be foretold.
- bare metal: it takes many minutes to boot, and whole hosts.
- types of previous generations: dearer for what they do, and scarce.
- types made for one kind of work (FPGAs, accelerators that are no GPUs, clusters), which a notebook would pay
  and not use, and of which a new account may have none.
- parts of a GPU, and GPUs that are not NVIDIA's: the machine image has drivers for whole ones of NVIDIA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dayfly.aws.instance_types import InstanceType

Arch = Literal["x86_64", "arm64"]

DEFAULT_ARCH: Arch = "x86_64"
DEFAULT_CPUS = 2.0
DEFAULT_MEMORY_BYTES = 8 * 10**9
"""What a machine has at least when nothing is said."""
_KERNEL_BYTES = 256 << 20
_KERNEL_SHARE = 0.03


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
    """The image's; None: x86_64, or whatever the named type has."""
    spot: bool = False


def usable_memory_bytes(one: InstanceType) -> int:
    """What a notebook can have of a machine's memory: less what the operating system and dayfly need."""
    return max(0, int(one.memory_bytes * (1 - _KERNEL_SHARE)) - _KERNEL_BYTES)


def count_gpus(text: str | None) -> int:
    """How many GPUs the setting `gpus` asks of a machine. `all` is whatever it has: at least one."""
    if text is None or text.strip() in {"", "0"}:
        return 0
    return int(text) if text.strip().isdecimal() else 1


def eligible(one: InstanceType, wanted: Wanted) -> bool:
    """Whether a type is taken that nobody has named (see the top of this module)."""
    steady = not (one.burstable or one.family.endswith("-flex"))
    plain = one.current_generation and steady and not (one.bare_metal or one.special)
    if wanted.gpus:
        return plain and one.gpu_maker.upper() in {"NVIDIA", ""} and one.gpu_share >= 1
    return plain and not one.gpu_name


def fits(one: InstanceType, wanted: Wanted) -> bool:
    """Whether a type has what is asked, or what a machine has at least."""
    return (
        one.vcpus >= (wanted.cpus or DEFAULT_CPUS)
        and usable_memory_bytes(one) >= least_memory_bytes(wanted)
        and one.gpus >= wanted.gpus
        and (wanted.arch or DEFAULT_ARCH) in one.archs
        and (one.spot if wanted.spot else one.on_demand)
    )


def least_memory_bytes(wanted: Wanted) -> int:
    """Who says how many processors and nothing of memory takes what goes with them."""
    if wanted.memory_bytes is not None:
        return wanted.memory_bytes
    return 0 if wanted.cpus is not None else DEFAULT_MEMORY_BYTES


def why_not(one: InstanceType, wanted: Wanted) -> str:
    """Why a type that was named cannot be taken; empty when it can."""
    asked, left = wanted.memory_bytes or 0, usable_memory_bytes(one)
    reasons = {
        f"the project's image is for {wanted.arch}": wanted.arch is not None and wanted.arch not in one.archs,
        "AWS sells no spare capacity of it": wanted.spot and not one.spot,
        "AWS does not sell it by the hour": not (wanted.spot or one.on_demand),
        f"{wanted.cpus or 0:g} processors are asked for": one.vcpus < (wanted.cpus or 0),
        f"{asked / 1e9:.3g} GB are asked for, and {left / 1e9:.3g} GB are left for a notebook": left < asked,
        f"GPUs are asked for: {wanted.gpus}": one.gpus < wanted.gpus,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")

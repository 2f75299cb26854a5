"""What the additions share: the clock, faults, what was asked, capacity and quotas."""

from __future__ import annotations

import asyncio
import fnmatch
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Answer = tuple[int, dict[str, str], bytes]
"""HTTP status, headers, body: what ministack's handlers return."""

FaultKind = Literal["deny", "throttle", "fail", "delay"]

ON_DEMAND_QUOTAS = {
    "L-1216C47A": ("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"),
    "L-DB2E81BA": ("g", "gr", "vt"),
    "L-417A185B": ("p",),
    "L-74FC7D96": ("f",),
    "L-6E869C2A": ("dl",),
    "L-1945791B": ("inf",),
    "L-2C3B7624": ("trn",),
    "L-7295265B": ("x",),
    "L-43DA4232": ("u",),
    "L-F7808C92": ("hpc",),
}
"""By code, the letters with which the types begin that it counts (Service Quotas, ec2)."""
SPOT_QUOTAS = {
    "L-34B43A08": ON_DEMAND_QUOTAS["L-1216C47A"],
    "L-3819A6DF": ON_DEMAND_QUOTAS["L-DB2E81BA"],
    "L-7212CCBC": ("p",),
    "L-C4BD4855": ("p5",),
    "L-88CF9481": ("f",),
    "L-85EED4F7": ("dl",),
    "L-B5D1601B": ("inf",),
    "L-6B0D517C": ("trn",),
    "L-E3A00192": ("x",),
}
_SOME = {"L-1216C47A": 64.0, "L-34B43A08": 64.0, "L-DB2E81BA": 16.0, "L-3819A6DF": 16.0}
QUOTAS = dict.fromkeys((*ON_DEMAND_QUOTAS, *SPOT_QUOTAS), 0.0) | _SOME
"""The values, in processors, are invented: some standard machines, a few with GPUs, none of the rest."""


@dataclass
class Fault:
    """The next `times` calls of operations like `operation` (`ec2:Run*`) go wrong; -1 is for ever."""

    operation: str
    kind: FaultKind
    times: int = 1
    code: str | None = None
    message: str | None = None
    status: int | None = None
    delay_s: float = 0.0
    after: bool = False


@dataclass
class NoCapacity:
    """Types and zones (patterns) without capacity, for `times` launches; -1 is for ever."""

    instance_type: str = "*"
    zone: str = "*"
    times: int = -1


@dataclass
class World:
    """One emulator's additional state; `reset` forgets all of it."""

    offset_s: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    no_capacity: list[NoCapacity] = field(default_factory=list)
    quotas: dict[str, float] = field(default_factory=lambda: dict(QUOTAS))
    placeholders: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Resources that are nothing but their properties: physical id → type, stack, properties."""
    fired: dict[tuple[Any, ...], float] = field(default_factory=dict)
    """Until when each schedule's occurrences were seen to, by its key in ministack's store."""
    console: dict[str, str] = field(default_factory=dict)
    """What GetConsoleOutput shows: instance id → text."""
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    """What calls that hang wait for; another one for those that hang later."""

    def release(self) -> None:
        """Calls that hang are answered now: of those that were not carried out yet, none is any more."""
        self.hanging.set()
        self.hanging = asyncio.Event()

    def heal(self) -> None:
        """No call goes wrong or hangs any more; there is capacity, and the quotas are what they were."""
        self.release()
        self.faults.clear()
        self.no_capacity.clear()
        self.quotas = dict(QUOTAS)

    def now(self) -> float:
        """Seconds since the epoch, by the emulator's clock."""
        return time.time() + self.offset_s

    def reset(self) -> None:
        """As at the start. A call that hangs is of a world that is no more."""
        self.release()
        self.__dict__.update(World().__dict__)

    def take_fault(self, operation: str) -> Fault | None:
        """The fault that this call meets, if any; it is used up."""
        for fault in self.faults:
            if fault.times != 0 and fnmatch.fnmatchcase(operation.lower(), fault.operation.lower()):
                fault.times -= 1 if fault.times > 0 else 0
                return fault
        return None

    def lacks_capacity(self, instance_type: str, zone: str) -> bool:
        """Whether a launch of this type in this zone finds none; a counted lack is used up."""
        for lack in self.no_capacity:
            meant = fnmatch.fnmatchcase(instance_type, lack.instance_type) and fnmatch.fnmatchcase(
                zone, lack.zone
            )
            if lack.times != 0 and meant:
                lack.times -= 1 if lack.times > 0 else 0
                return True
        return False


WORLD = World()

LaunchHook = Callable[[dict[str, Any]], None]
ON_LAUNCH: list[LaunchHook] = []
"""Called with each new instance's record: where a later part boots a container for it."""
ON_TERMINATE: list[LaunchHook] = []
"""Called with the record of an instance that has just been terminated."""

"""How many runs this machine can hold at once. How many it bears well is less, see `pool.default_jobs`."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from dayfly.backends.pool import available_memory_bytes
from dayfly.errors import UsageError

_OWN_DESCRIPTORS = 32
"""What pool, nursery and kernel server have open before the first run: 13, 6 and 6, measured."""
_RUN_DESCRIPTORS = 1
"""What each of the three has open for each run; measured with 1, 2 and 4 of them."""
_RUN_BYTES = 28_000_000
"""What runner and kernel, both forked, have to themselves while the notebook does nothing; measured."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What this machine gives to a sweep: files that a process may have open, and bytes of memory."""

    descriptors: int
    memory_bytes: int

    @property
    def by_descriptors(self) -> int:
        """So many runs at once, and no file can be opened any more."""
        return max((self.descriptors - _OWN_DESCRIPTORS) // _RUN_DESCRIPTORS, 1)

    @property
    def by_memory(self) -> int:
        """So many runs at once, and the memory is full before they have done anything."""
        return max(self.memory_bytes // _RUN_BYTES, 1)


def find_room() -> Room:
    """What there is now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    return Room(descriptors=1 << 30 if unlimited else soft, memory_bytes=available_memory_bytes())


def check_jobs(jobs: int, room: Room) -> None:
    """Raise UsageError for more runs at once than there is room for."""
    most = min(room.by_descriptors, room.by_memory)
    if jobs <= most:
        return
    if room.by_memory <= room.by_descriptors:
        why = (
            f"Each needs {_RUN_BYTES / 1e6:.0f} MB before it does anything, "
            f"and {room.memory_bytes / 1e9:.1f} GB are free."
        )
        more = ""
    else:
        why = f"A process may have {room.descriptors:,} files open here, and each run takes one."
        more = "\nMore may be allowed: ulimit -n"
    raise UsageError(
        f"This machine cannot hold {jobs:,} runs at once.",
        why=why,
        hint=f"Give at most --jobs {most}, or none: then as many run as cores and memory bear.{more}",
    )

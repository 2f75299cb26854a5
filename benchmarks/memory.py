"""How much memory a tree of processes takes, from /proc.

PSS ("proportional set size") counts a page that several processes share once, divided among
them, so that the sum over a tree is what the tree really takes. RSS would count it for each.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INTERVAL_S = 0.02
# Reading a large process's PSS stops it for a moment: never look for more than a tenth of the time.
_REST_PER_LOOK = 9
_KERNEL = b"ipykernel_launcher"


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Memory in bytes: of all processes, and of all but the kernel, which is the same for everyone."""

    all_bytes: int = 0
    without_kernel_bytes: int = 0

    def highest(self, other: Footprint) -> Footprint:
        """Return the higher of both, each figure by itself."""
        return Footprint(
            all_bytes=max(self.all_bytes, other.all_bytes),
            without_kernel_bytes=max(self.without_kernel_bytes, other.without_kernel_bytes),
        )


def find_descendants(pid: int) -> Iterator[int]:
    """Yield the processes below `pid`. One that ends meanwhile is left out."""
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                for child in (thread / "children").read_text("ascii").split():
                    yield int(child)
                    yield from find_descendants(int(child))


def read_footprint(pids: Iterator[int]) -> Footprint:
    """Return what these processes take now."""
    kernel_bytes = other_bytes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pss = _read_pss_bytes(pid)
            if _KERNEL in Path(f"/proc/{pid}/cmdline").read_bytes():
                kernel_bytes += pss
            else:
                other_bytes += pss
    return Footprint(all_bytes=kernel_bytes + other_bytes, without_kernel_bytes=other_bytes)


def _read_pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def watch_memory(root: int) -> Iterator[list[Footprint]]:
    """Sample what is below the process `root` in a thread of its own; the last entry is the peak so far."""
    if not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists():
        raise RuntimeError(
            "This system does not tell the children of a process (Linux with PROC_CHILDREN does)."
        )
    peak = [Footprint()]
    done = threading.Event()

    def sample() -> None:
        pause = 0.0
        while not done.wait(pause):
            started = time.perf_counter()
            peak[0] = peak[0].highest(read_footprint(find_descendants(root)))
            pause = max(INTERVAL_S, _REST_PER_LOOK * (time.perf_counter() - started))

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()

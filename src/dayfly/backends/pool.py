"""Sweeps on this machine: a pool that runs the open points of one, so many at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dayfly.backends.processes import Processes, start_processes
from dayfly.runner.directories import cache_directory
from dayfly.runs import layout
from dayfly.runs.store import Store

LOG = "pool.log"
"""What the pool says of itself: its warnings, and why it could not begin."""
_RUN_BYTES = 1 << 30
"""What a run may well need, when nobody says: runner, kernel, and some data."""
_CGROUP = Path("/sys/fs/cgroup")


def start_pool(
    store: Store, sweep_id: str, environ: Mapping[str, str], *, jobs: int | None = None
) -> Processes:
    """Start the pool of a sweep that is in the store. Returns at once; the pool outlives whoever starts it.

    `jobs` is how many runs it has at once; None: as the sweep's request says.

    What had asked for the sweep's end is taken back: to start it is to go on with it. Where a pool is at work
    on it already, the new one ends at once. What a pool says is in the file `pool.log` in `pool_directory`.
    """
    store.delete([layout.sweep_key(sweep_id, layout.STOP)])
    directory = pool_directory(store, sweep_id, environ)
    # -P: a module of the user's beside the sweep must not stand in for one of ours
    command = [sys.executable, "-P", "-m", "dayfly.backends.pool_process", store.url, sweep_id]
    command += [str(jobs)] if jobs is not None else []
    return start_processes([command], directory, environ, log=LOG, held=True)


def pool_directory(store: Store, sweep_id: str, environ: Mapping[str, str]) -> Path:
    """Where a pool has its lock and its log: in the store, or in the user's cache when that is elsewhere."""
    directory = store.path(layout.sweep_key(sweep_id, ""))
    if directory is None:
        directory = cache_directory(environ) / layout.SWEEPS / sweep_id
        directory.mkdir(parents=True, exist_ok=True)
    return directory


def default_jobs(cpus: float | None, memory_bytes: int | None) -> int:
    """How many runs at once cores and memory bear; the arguments are a run's own limits, where it has any."""
    by_cores = int(available_cpus() / (cpus or 1))
    by_memory = available_memory_bytes() // (memory_bytes or _RUN_BYTES)
    return max(1, min(by_cores, by_memory))


def available_cpus() -> float:
    """The processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = float(len(affinity(0)) if affinity is not None else os.cpu_count() or 1)
    with suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        cpus = min(cpus, int(quota) / int(period))
    return cpus


def available_memory_bytes(cgroup: Path = _CGROUP) -> int:
    """The memory that is free, or can be made so, as that of files that were read."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    with suppress(OSError, ValueError):
        limit = int((cgroup / "memory.max").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        used = int((cgroup / "memory.current").read_text()) - int(stat.get("inactive_file", 0))
        found = min(found, limit - used)
    return max(found, 0)

"""On what the figures were taken."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine() -> str:
    """Return processor, cores, memory and kernel in one line."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, {memory_gb:.0f} GB of memory, {platform.system()} {_release()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _release() -> str:
    """Return the version of the kernel; what follows it names the machine it was built for."""
    return platform.release().partition("-")[0]

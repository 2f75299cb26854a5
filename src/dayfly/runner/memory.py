"""Whether the memory limit of this container killed something, as the control group tells it.

cgroup v2: `memory.events` (https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files);
v1: `memory.oom_control`, whose `oom_kill` counts the same.
"""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_FILES = ("memory.events", "memory/memory.oom_control")
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def memory_kills(root: Path = _ROOT) -> int | None:
    """How many processes of this control group were killed at its memory limit; None when unknown."""
    for name in _FILES:
        try:
            found = _KILLS.search((root / name).read_text())
        except OSError:
            continue
        if found:
            return int(found[1])
    return None


def why_killed(limit_bytes: int | None, kills: int | None = None) -> str:
    """Why a kernel was probably killed, for people. `limit_bytes` is the run's memory limit, if any."""
    if limit_bytes is not None and (memory_kills() if kills is None else kills):
        return f"It reached the memory limit of {limit_bytes / 1e6:,.0f} MB: give it more with --memory."
    return "That is what happens when memory runs out."

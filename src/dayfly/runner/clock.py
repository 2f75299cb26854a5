"""The two clocks of a run: the time of day, and one that never jumps."""

from __future__ import annotations

import time
from datetime import datetime

from dayfly.runs.compat import UTC


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def steady_s() -> float:
    """Seconds on a clock that never jumps; a machine's sleep counts where the system can tell it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

"""When output.ipynb is written while the notebook runs, and that it always is at the end.

A checkpoint costs at most about a tenth of the time: the next one comes ten times as long after
the last as that one took, but within 60 s, however slow the disk, so that no more than that is
ever lost. Writing happens in a thread; the notebook goes on.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable

from dayfly.runner.notebook_file import NotebookFile, Snapshot

SHORTEST_S = 1.0
LONGEST_S = 60.0
SHARE = 10.0


def pause_after(cost_s: float) -> float:
    """How many seconds to wait after a checkpoint that took `cost_s`."""
    return min(max(cost_s * SHARE, SHORTEST_S), LONGEST_S)


async def keep_checkpoints(
    file: NotebookFile,
    take: Callable[[], Snapshot | None],
    warn: Callable[[str], None],
    *,
    on_disk_full: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Write checkpoints until cancelled. `take` returns None when nothing is new."""
    pause = SHORTEST_S
    failing = False
    while True:
        await asyncio.sleep(pause)
        begin = clock()
        try:
            snapshot = take()
            if snapshot is None:
                continue
            await asyncio.to_thread(file.write, snapshot)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                on_disk_full()
                return
            if not failing:
                warn(f"A checkpoint could not be written ({error}); trying again.")
            failing = True
            pause = min(pause * 2, LONGEST_S)
            continue
        failing = False
        cost = clock() - begin
        pause = pause_after(cost)
        if cost > LONGEST_S / SHARE:
            warn(f"Saving is slow: a checkpoint took {cost:.0f} s. The next is in {pause:.0f} s.")

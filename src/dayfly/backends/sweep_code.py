"""Code beside the notebook of a sweep in the working tree, which is no part of what a point is.

Where a sweep has a commit, its tree is. Here nothing tells what a notebook reads: so a sweep that takes over
runs of an earlier one says at least which files of code are younger than these.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from dayfly.backends.sweep_plan import SweepPlan
from dayfly.runs.ids import started_at
from dayfly.runs.state import State

_SUFFIXES = (".py", ".r", ".jl")
_ELSEWHERE = {"__pycache__", "node_modules", "site-packages"}
_ID_STEP = timedelta(seconds=1)
"""A sweep's id tells the second in which it was asked for."""
_MOST_FOLDERS = 2_000
"""So many are looked into, those nearest first: nobody waits for a whole disk."""


def code_changed_since(plan: SweepPlan) -> list[str]:
    """Files of code that are younger than the runs which the plan takes over, relative to where they ran."""
    run = plan.sweep.run
    taken = set(plan.there)
    if plan.continues is not None and any(
        attempt.state is State.SUCCEEDED for attempt in plan.continues.attempts.values()
    ):
        taken.add(plan.sweep.sweep_id)
    began = [moment for moment in map(started_at, taken) if moment is not None]
    if run.snapshot is not None or not began:
        return []
    return list(younger_code(Path(run.cwd), min(began) + _ID_STEP))


def younger_code(directory: Path, moment: datetime) -> Iterator[str]:
    """Files of code under the directory that were written after the moment; environments are left out."""
    waiting = deque([directory])
    for _ in range(_MOST_FOLDERS):
        if not waiting:
            return
        for entry in _entries(waiting.popleft()):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                if not _is_elsewhere(path):
                    waiting.append(path)
            elif entry.name.lower().endswith(_SUFFIXES) and _written(path) > moment.timestamp():
                yield str(path.relative_to(directory))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """By name; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_elsewhere(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _ELSEWHERE or (folder / "pyvenv.cfg").exists()


def _written(file: Path) -> float:
    """When, in seconds; 0.0 for a file that is gone, or whose link leads nowhere."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0

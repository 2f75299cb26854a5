"""Code beside the notebook of a sweep in the working tree, which is no part of what a point is.

Where a sweep has a commit, its tree is. Here nothing tells what a notebook reads: so a sweep that takes over
runs of an earlier one says at least which files of code are younger than these.
"""

from __future__ import annotations

import os
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
_MOST = 10_000
"""So many files are looked at: a project's own code comes first, and nobody waits for a whole disk."""


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
    seen = 0
    for folder, folders, files in os.walk(directory):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not _is_elsewhere(here / name))
        for name in sorted(files):
            seen += 1
            if seen > _MOST:
                return
            if name.lower().endswith(_SUFFIXES) and _written(here / name) > moment.timestamp():
                yield str((here / name).relative_to(directory))


def _is_elsewhere(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _ELSEWHERE or (folder / "pyvenv.cfg").exists()


def _written(file: Path) -> float:
    """When, in seconds; 0.0 for a file that is gone, or whose link leads nowhere."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0

"""Removing a sweep with all its runs. It can be cut off at any moment and be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from dayfly.backends.sweep_earlier import find_earlier
from dayfly.backends.sweep_plan import digest_of
from dayfly.backends.sweep_view import Sweep
from dayfly.errors import DamagedFileError, RunConflictError, RunNotFoundError
from dayfly.runs import ids, layout
from dayfly.runs.catalog import ids_starting_with
from dayfly.runs.removal import remove_run
from dayfly.runs.store import Store

_BATCH = 1000


def remove_sweep(store: Store, sweep_id: str) -> int:
    """Remove a sweep whole; returns how many runs went with it.

    Raises RunNotFoundError, and RunConflictError while it is at work, or while its runs stand for points of
    another sweep. What names the sweep goes last.
    """
    sweep = Sweep(sweep_id, store)
    overview = sweep.look()
    if not overview.state.ended:
        raise RunConflictError(
            f"The sweep {sweep_id} has not ended ({overview.state}).",
            hint=f"End it first with: dayfly stop {sweep_id}",
        )
    needed = next(_needed_by(store, sweep), None)
    if needed is not None:
        raise RunConflictError(
            f"Runs of the sweep {sweep_id} stand for points of {needed}.",
            why="That sweep would lose them.",
            hint=f"Remove it first: dayfly rm {needed}",
        )
    runs = list(ids_starting_with(store, f"{sweep_id}."))
    for run_id in runs:
        with suppress(RunNotFoundError):
            remove_run(store, run_id)
    claim = layout.sweep_claim_key(digest_of(sweep.request, sweep.points))
    claimed = [claim] if store.get(claim) == sweep_id.encode() else []
    store.delete([layout.sweep_base_key(sweep.request.base, sweep_id), *claimed])
    last = layout.sweep_key(sweep_id, layout.SWEEP)
    keys = [entry.key for entry in store.list(layout.sweep_key(sweep_id, "").rstrip("/"))]
    rest = [key for key in keys if key != last]
    for start in range(0, len(rest), _BATCH):
        store.delete(rest[start : start + _BATCH])
    store.delete([last])
    directory = store.path(layout.sweep_key(sweep_id, ""))
    if directory is not None:
        for folder in (*(each for each in directory.glob("*/")), directory):
            with suppress(OSError):
                folder.rmdir()
    return len(runs)


def remove_run_or_point(store: Store, run_id: str) -> None:
    """As `remove_run`; and RunConflictError also for a run that stands for a point of another sweep."""
    named = ids.sweep_of(run_id)
    with suppress(RunNotFoundError, DamagedFileError):  # of a sweep that is gone nobody can be asked
        needed = next(_needed_by(store, Sweep(named[0], store), run_id), None) if named else None
        if needed is not None:
            raise RunConflictError(
                f"The run {run_id} stands for a point of {needed}.",
                why="That sweep would lose it.",
                hint=f"Remove it first: dayfly rm {needed}",
            )
    remove_run(store, run_id)


def _needed_by(store: Store, sweep: Sweep, run_id: str | None = None) -> Iterator[str]:
    """The other sweeps in which runs of this one, or only the one that is named, stand for points."""
    for other in find_earlier(store, sweep.request.base):
        runs = (point.run or "" for point in other.points)
        if any(run.startswith(f"{sweep.sweep_id}.") if run_id is None else run == run_id for run in runs):
            yield other.sweep.sweep_id

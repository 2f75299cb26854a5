"""Removing a sweep with all its runs, or a point of one. It can be cut off at any moment and be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from dayfly.backends.sweep_earlier import find_earlier
from dayfly.backends.sweep_plan import digest_of
from dayfly.backends.sweep_view import Sweep
from dayfly.errors import DamagedFileError, RunConflictError, RunNotFoundError
from dayfly.runs import ids, layout
from dayfly.runs.catalog import ids_starting_with
from dayfly.runs.removal import check_ended, remove_run
from dayfly.runs.store import Store
from dayfly.runs.sweep_states import SETTLED, forget_again

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
            f"Runs of the sweep {sweep_id} stand for points of {needed[0]}.",
            why="That sweep would lose them.",
            hint=f"Remove it first: dayfly rm {needed[0]}",
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


def remove_run_or_attempt(store: Store, run_id: str) -> None:
    """As `remove_run`; and RunConflictError also for a run that stands for a point of another sweep."""
    named = ids.sweep_of(run_id)
    if named is None:
        remove_run(store, run_id)
    else:
        _remove_attempts(store, named[0], named[1], [run_id])


def remove_point(store: Store, run_id: str) -> list[str]:
    """Remove every attempt at the point that `run_id` is one of, so that nobody has begun it; returns them.

    Nothing is removed where one of them goes on, or stands for a point of another sweep: RunConflictError.
    """
    named = ids.sweep_of(run_id)
    if named is None:
        remove_run(store, run_id)
        return [run_id]
    sweep_id, index, _ = named
    first = ".".join(run_id.split(".")[:2])
    found = {each: ids.sweep_of(each) for each in ids_starting_with(store, first)}
    runs = sorted((each for each, of in found.items() if of and of[:2] == named[:2]), key=ids.age)
    _remove_attempts(store, sweep_id, index, runs)
    return runs


def _remove_attempts(store: Store, sweep_id: str, index: int, runs: Sequence[str]) -> None:
    """Remove attempts at a point, the oldest first: cut off, it has its newest one still."""
    with suppress(RunNotFoundError, DamagedFileError):  # of a sweep that is gone nobody can be asked
        needed = next(_needed_by(store, Sweep(sweep_id, store), runs), None)
        if needed is not None:
            raise RunConflictError(
                f"The run {needed[1]} stands for a point of {needed[0]}.",
                why="That sweep would lose it.",
                hint=f"Remove it first: dayfly rm {needed[0]}",
            )
    states = [check_ended(store, run_id) for run_id in runs]
    # Each attempt after the first was asked for. Were that kept, the point would wait to be run again.
    forget_again(store, sweep_id, index, sum(state in SETTLED for state in states))
    for run_id in runs:
        remove_run(store, run_id)


def _needed_by(store: Store, sweep: Sweep, runs: Sequence[str] | None = None) -> Iterator[tuple[str, str]]:
    """Each other sweep in which runs of this one, or only those named, stand for points; and the run."""
    for other in find_earlier(store, sweep.request.base):
        for run in (point.run or "" for point in other.points):
            if run.startswith(f"{sweep.sweep_id}.") if runs is None else run in runs:
                yield other.sweep.sweep_id, run

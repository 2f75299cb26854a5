"""What a user calls a point of a sweep: `S[7]`, or `S.7` where a shell eats brackets; `S.7.2`: an attempt."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dayfly.backends.everywhere import find_everywhere
from dayfly.backends.stores import Stores
from dayfly.backends.sweep_view import Sweep, check_index
from dayfly.errors import DayflyError, RunConflictError, RunNotFoundError
from dayfly.runs import ids
from dayfly.runs.catalog import find_summary, is_sweep
from dayfly.runs.run import Run
from dayfly.runs.store import Store

_POINT = re.compile(r"(.+?)(?:\[(\d{1,7})\]|\.(\d{1,7}))(?:\.(\d{1,4}))?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Name:
    """What a name says: of a run or sweep, and perhaps a point of it, and perhaps an attempt at that."""

    whole: str
    index: int | None = None
    attempt: int | None = None


def parse_name(name: str) -> Name:
    """The parts of a name."""
    match = _POINT.fullmatch(name)
    if match is None:
        return Name(whole=name)
    index, attempt = match[2] or match[3], match[4]
    return Name(whole=match[1], index=int(index), attempt=int(attempt) if attempt else None)


def find_named(
    stores: Stores, name: str, *, of_sweeps: bool = False
) -> tuple[Run | Sweep, DayflyError | None]:
    """The run or the sweep that `name` means, and why only one store was looked at, if so.

    With `of_sweeps`, and where a point is named, `last` is the last sweep, whatever runs came after it.
    Raises RunNotFoundError.
    """
    named = parse_name(name)
    found = find_everywhere(stores, named.whole, of_sweeps=of_sweeps or named.index is not None)
    if named.index is not None:
        return find_point(found.store, found.run_id, named), found.unheard
    if is_sweep(found.store, found.run_id):
        return Sweep(found.run_id, found.store), found.unheard
    return Run(found.run_id, found.store), found.unheard


def not_a_run(sweep: Sweep) -> RunConflictError:
    """The error of whoever wants a run, and is given a sweep."""
    return RunConflictError(
        f"{sweep.sweep_id} is a sweep, not a run.",
        why="It is many runs, one for each of its points.",
        hint=f"Name a point: {sweep.sweep_id}.0; see which there are with: dayfly show {sweep.sweep_id}",
    )


def not_a_sweep(run: Run) -> RunConflictError:
    """The error of whoever wants a sweep, and is given a run."""
    return RunConflictError(
        f"{run.run_id} is a run, not a sweep.", hint=f"See it with: dayfly show {run.run_id}"
    )


def find_point(store: Store, sweep_id: str, name: Name) -> Run:
    """The run of a point: its newest attempt, or the one that is named. Raises RunNotFoundError."""
    if name.index is None or not is_sweep(store, sweep_id):
        raise RunNotFoundError(
            f"{sweep_id} is a run, not a sweep: it has no points.", hint=f"Name it alone: {sweep_id}"
        )
    sweep = Sweep(sweep_id, store)
    if name.attempt is None:
        return sweep.run(name.index)
    check_index(sweep, name.index)
    run_id = ids.child_id(sweep_id, name.index, sweep.request.count, name.attempt)
    return Run(find_summary(store, run_id).run_id, store)

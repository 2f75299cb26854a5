"""What a user calls a point of a sweep: `S[7]`, or `S.7` where a shell eats brackets; `S.7.2`: an attempt."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dayfly.backends.sweep_view import Sweep, check_index
from dayfly.errors import RunNotFoundError
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

"""What was run before: the runs of earlier sweeps that stand for points of a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from dayfly.errors import DamagedFileError, RunNotFoundError
from dayfly.runs import ids, layout
from dayfly.runs.state import State
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, point_identity
from dayfly.runs.sweep_results import load_sweep
from dayfly.runs.sweep_states import Attempt, list_attempts


@dataclass(frozen=True)
class Earlier:
    """A sweep in the store with the same code, environment and notebook."""

    sweep: SweepRequest
    points: Sequence[Point]
    attempts: Mapping[int, Attempt]

    @cached_property
    def identities(self) -> list[str]:
        """The identity of each point, in order."""
        return identities_of(self.sweep.base, self.sweep, self.points)

    def succeeded(self) -> Iterator[tuple[str, str]]:
        """Identity and run of each point that has succeeded here; not those of sweeps before it."""
        for index, attempt in self.attempts.items():
            if attempt.state is State.SUCCEEDED and index < len(self.points):
                yield self.identities[index], attempt.run_id


def identities_of(base: str, sweep: SweepRequest, points: Sequence[Point]) -> list[str]:
    """The identity of each point of a sweep, in order."""
    return [point_identity(base, sweep.run.parameters, point) for point in points]


def find_earlier(store: Store, base: str, *, now: datetime | None = None) -> list[Earlier]:
    """The sweeps with this base, newest first: one LIST, and two GETs and a listing for each.

    One that cannot be read stands for nothing.
    """
    prefix = layout.sweep_base_key(base, "")
    names = {entry.key.removeprefix(prefix) for entry in store.list(prefix.rstrip("/"))}
    found = []
    for sweep_id in sorted(names, key=ids.age, reverse=True):
        try:
            sweep, points = load_sweep(store, sweep_id)
        except (RunNotFoundError, DamagedFileError):
            continue
        found.append(Earlier(sweep, points, list_attempts(store, sweep_id, sweep.count, now=now)))
    return found

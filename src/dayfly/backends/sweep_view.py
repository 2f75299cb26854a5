"""A sweep as it stands: for `dayfly.sweep(...)`, for the commands, for whoever watches it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from dayfly.backends.sweep_creation import ask_sweep_to_stop, asked_to_stop, pool_alive
from dayfly.errors import RunConflictError, RunNotFoundError, UsageError
from dayfly.runner.directories import cache_directory
from dayfly.runs.batch_record import load_submissions
from dayfly.runs.catalog import TAKE_UP_WITHIN
from dayfly.runs.follow import FAR, pace_of
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Entry, Store
from dayfly.runs.sweep import Point, SweepRequest
from dayfly.runs.sweep_results import load_sweep, load_table
from dayfly.runs.sweep_states import SETTLED, Attempt, ask_again, list_attempts, load_again, open_points

_A_LISTING = 1000
"""So many runs one LIST tells of."""


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A sweep at one moment."""

    sweep: SweepRequest
    points: Sequence[Point]
    attempts: Mapping[int, Attempt]
    open: Mapping[int, int]
    """The points that are to be run now, each with the number of its next attempt."""
    working: bool | None
    """Whether a pool is at work on it; None when that cannot be known from here."""
    stopped: bool
    """Whether somebody has asked for its end."""
    awaited: bool = False
    """Whether it is so new that what works on it may be on its way."""
    queued: bool = False
    """Whether AWS Batch may still begin what is open."""

    def state_of(self, index: int) -> State | None:
        """Where a point stands: its newest attempt, or the run that stands for it; None while it waits."""
        if self.points[index].run is not None:
            return State.SUCCEEDED
        attempt = self.attempts.get(index)
        if attempt is None or (index in self.open and attempt.state in SETTLED):
            return None  # never begun, or asked for again
        return attempt.state

    def run_of(self, index: int) -> str | None:
        """The run of a point: its newest attempt, or the one that stands for it; None before the first."""
        attempt = self.attempts.get(index)
        return self.points[index].run or (attempt.run_id if attempt is not None else None)

    @cached_property
    def states(self) -> list[State | None]:
        """Where each point stands, None while it waits."""
        return [self.state_of(index) for index in range(len(self.points))]

    @cached_property
    def counts(self) -> Counter[State | None]:
        """How many points stand where."""
        return Counter(self.states)

    @property
    def done(self) -> int:
        """How many points are settled: they succeeded, or failed by the notebook's own doing."""
        return sum(self.counts[state] for state in SETTLED)

    @property
    def failed(self) -> int:
        """How many points failed or ran out of time."""
        return self.counts[State.FAILED] + self.counts[State.TIMED_OUT]

    @property
    def reused(self) -> int:
        """How many points the run of an earlier sweep stands for."""
        return sum(point.run is not None for point in self.points)

    @cached_property
    def running(self) -> list[int]:
        """The points whose run goes on now."""
        return [i for i, state in enumerate(self.states) if state is not None and not state.ended]

    @property
    def state(self) -> State:
        """The sweep in one word: running, or how it ended. With open points it was stopped or interrupted."""
        if self.working or self.running:
            return State.RUNNING
        if self.open:
            if self.stopped:
                return State.CANCELLED
            return State.REQUESTED if self.awaited else State.RUNNING if self.queued else State.INTERRUPTED
        if self.counts[State.FAILED]:
            return State.FAILED
        return State.TIMED_OUT if self.counts[State.TIMED_OUT] else State.SUCCEEDED


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of a sweep from a listing of many: `working` first, then the status of its runs."""

    working: bool | None
    entries: Sequence[Entry]
    moment: datetime
    """When that was: a heartbeat is late by it, not by when the last of many is looked at."""


@dataclass(frozen=True)
class Sweep:
    """A sweep in a store. What can change is read anew each time; the request and the points cannot."""

    sweep_id: str
    store: Store
    _loaded: list[tuple[SweepRequest, list[Point]]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    @property
    def request(self) -> SweepRequest:
        """What was asked. Raises RunNotFoundError."""
        return self._asked[0]

    @property
    def points(self) -> list[Point]:
        """The points, in order."""
        return self._asked[1]

    @property
    def _asked(self) -> tuple[SweepRequest, list[Point]]:
        # A `cached_property` has one lock for all sweeps until Python 3.12: they would wait for each other.
        if not self._loaded:
            self._loaded.append(load_sweep(self.store, self.sweep_id))
        return self._loaded[0]

    def parameters(self, index: int) -> dict[str, Any]:
        """All parameters of a point, those that the points share among them."""
        return {**self.request.run.parameters, **self.points[index].parameters}

    def look(self, seen: Seen | None = None) -> Overview:
        """The sweep as it stands now: one LIST for a thousand of its runs, and a few small requests.

        The LIST is not needed where `seen` says what whoever lists many sweeps has seen of this one.
        """
        now = datetime.now(UTC) if seen is None else seen.moment
        # Before the listing: a pool that ends in between has left what it did.
        working = pool_alive(self.store, self.sweep_id) if seen is None else seen.working
        entries = None if seen is None else seen.entries
        attempts = list_attempts(self.store, self.sweep_id, self.request.count, now=now, entries=entries)
        if working is False and pool_alive(self.store, self.sweep_id) is False:
            attempts = {index: _settle_dead(attempt) for index, attempt in attempts.items()}
        again = load_again(self.store, self.sweep_id)
        return Overview(
            sweep=self.request,
            points=self.points,
            attempts=attempts,
            open=dict(open_points(self.request, self.points, attempts, again)),
            working=working,
            stopped=asked_to_stop(self.store, self.sweep_id),
            awaited=not attempts and now - self.request.created < TAKE_UP_WITHIN,
            queued=self.request.run.backend == "batch"
            and any(one.may_begin(now) for one in load_submissions(self.store, self.sweep_id)),
        )

    @property
    def state(self) -> State:
        """The sweep in one word."""
        return self.look().state

    @property
    def states(self) -> list[State | None]:
        """Where each point stands; None for one that was never begun."""
        return self.look().states

    @property
    def runs(self) -> list[Run | None]:
        """The run of each point; None for one that was never begun."""
        overview = self.look()
        found = [overview.run_of(index) for index in range(len(self.points))]
        return [None if run_id is None else Run(run_id, self.store) for run_id in found]

    def run(self, index: int) -> Run:
        """The run of one point, from 0. Raises RunNotFoundError."""
        check_index(self, index)
        run_id = self.look().run_of(index)
        if run_id is None:
            raise RunNotFoundError(
                f"The point {index} of {self.sweep_id} has no run yet.",
                hint=f"See how far the sweep is with: dayfly show {self.sweep_id}",
            )
        return Run(run_id, self.store)

    def results(self) -> list[dict[str, Any]]:
        """What came of it: a row a point, by the columns that `dayfly results` has.

        Parameters (first those in which points differ), what was recorded, `state` (None while it waits),
        `duration_s`, `cost_dollars` and the rest; `pandas.DataFrame` takes it as it is. Raises StoreError.
        """
        from dayfly.report.sweep_columns import columns_of

        cache = None
        with suppress(UsageError):  # without a home there is none
            cache = cache_directory(os.environ) / "results"
        table = load_table(self.store, self.sweep_id, cache=cache)
        columns = columns_of(table, shared=True)
        return [{column.name: column.of(row) for column in columns} for row in table.rows]

    def wait(self, timeout_s: float | None = None) -> State:
        """Wait until nobody works on the sweep any more; TimeoutError after `timeout_s`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            overview = self.look()
            if overview.state.ended:
                return overview.state
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"The sweep {self.sweep_id} has not ended within {timeout_s:g} s.")
            time.sleep(look_every_s(self))

    def check(self) -> Sweep:
        """Return the sweep when every point succeeded; raise the error of its state otherwise."""
        overview = self.look()
        error = overview.state.error
        if error is not None:
            raise error(
                f"The sweep {self.sweep_id} ended as {overview.state}.",
                why=f"{overview.counts[State.SUCCEEDED]} of {len(self.points)} points succeeded.",
                hint=f"See more with: dayfly show {self.sweep_id}",
            )
        return self

    def stop(self, by: str = "") -> None:
        """Ask for the end: runs that are at work save what they have. Returns at once.

        Raises RunConflictError when nobody works on it.
        """
        state = self.state
        if state.ended:
            raise RunConflictError(f"Nobody works on the sweep {self.sweep_id} ({state}).")
        ask_sweep_to_stop(self.store, self.sweep_id, by)

    def retry(self, indices: Sequence[int]) -> int:
        """Ask for settled points to be run once more; returns how many were not to be run anyway."""
        overview = self.look()
        settled = [i for i in indices if overview.states[i] in SETTLED and self.points[i].run is None]
        if settled:
            ask_again(self.store, self.sweep_id, settled, datetime.now(UTC))
        return len(settled)


def _settle_dead(attempt: Attempt) -> Attempt:
    """An attempt of a pool that is gone: what it had not begun by then, nobody begins."""
    if attempt.state is not State.REQUESTED:
        return attempt
    return replace(attempt, state=State.NEVER_STARTED)


def check_index(sweep: Sweep, index: int) -> None:
    """Raises RunNotFoundError for a point that the sweep does not have."""
    if not 0 <= index < sweep.request.count:
        raise RunNotFoundError(
            f"The sweep {sweep.sweep_id} has no point {index}.",
            why=f"Its points are 0 to {sweep.request.count - 1}.",
        )


def look_every_s(sweep: Sweep, *, took: timedelta = timedelta()) -> float:
    """How long to wait between two looks: a request a second in S3; never more than a tenth of the time."""
    far = pace_of(sweep.store) is FAR
    listings = 1 + sweep.request.count // _A_LISTING
    return max(FAR.a_request_s * (listings + 2) if far else 0.25, 9 * took.total_seconds())

"""What the points of a sweep on AWS Batch have cost at most: how long each attempt was, by the price's bound.

An attempt is measured from its runner's first moment to the last word of its status object, which comes when
all is saved, and has a minute besides for its container's start. One of which nothing tells, because its
machine was taken back for instance, is taken to have lasted for as long as Batch lets it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from dayfly.aws.estimates import dollars_for
from dayfly.runs.batch_record import ArrayJob, BatchSubmission, children_of
from dayfly.runs.catalog import state_of_entry
from dayfly.runs.kept_results import Kept, Lean
from dayfly.runs.state import State
from dayfly.runs.status import state_of_size
from dayfly.runs.store import Entry, Store
from dayfly.runs.sweep_results import load_results
from dayfly.runs.sweep_states import attempt_entries

if TYPE_CHECKING:
    from dayfly.aws.batch_follow import ArrayStatus

STARTING_S = 60.0
"""What an attempt has besides: its container's start, and the minute that EC2 bills at least."""


@dataclass(frozen=True, kw_only=True)
class AttemptTime:
    """One attempt at a point, and how long it lasted at most until now."""

    run_id: str
    state: State | None
    seconds: float
    record: BatchSubmission
    array: ArrayJob

    @property
    def over(self) -> bool:
        """Whether it goes on no more."""
        return self.state is not None and self.state.ended

    @property
    def dollars(self) -> Decimal | None:
        """None where no price was known."""
        price = self.record.price_per_hour
        return None if price is None else dollars_for(price, timedelta(seconds=self.seconds))


def measure_attempts(  # noqa: PLR0913 -- a sweep, and which of its attempts
    store: Store,
    sweep_id: str,
    count: int,
    records: Sequence[BatchSubmission],
    *,
    now: datetime,
    only: str | None = None,
    cache: Path | None = None,
) -> list[AttemptTime]:
    """All attempts at all points that were begun; `only` the one with this run id.

    A listing for a thousand, and a GET for each attempt whose result is not in `cache` yet.
    """
    places = _places(store, records)
    entries = [
        (index, number, run_id, entry)
        for index, number, run_id, entry in attempt_entries(store, sweep_id, count)
        if index in places and only in {None, run_id}
    ]
    ended = [run_id for _, _, run_id, entry in entries if _ended(entry)]
    results = load_results(store, ended, Kept.of(cache, store, sweep_id))
    measured = []
    for index, number, run_id, entry in entries:
        record, array = _place_of(places[index], number)
        state = state_of_entry(store, entry, now)
        seconds = _seconds(record, entry, state, results.get(run_id), now)
        measured.append(AttemptTime(run_id=run_id, state=state, seconds=seconds, record=record, array=array))
    return measured


_Place = tuple[int, BatchSubmission, ArrayJob]


def _places(store: Store, records: Iterable[BatchSubmission]) -> Mapping[int, list[_Place]]:
    """By point: from which attempt on, in which submission and array job; in this order."""
    found: defaultdict[int, list[_Place]] = defaultdict(list)
    for record in records:
        for array in record.arrays:
            for index, first in children_of(store, record, array):
                found[index].append((first, record, array))
    return found


def _place_of(places: Sequence[_Place], number: int) -> tuple[BatchSubmission, ArrayJob]:
    at = bisect_right([first for first, _, _ in places], number)
    _, record, array = places[max(at - 1, 0)]
    return record, array


def _ended(entry: Entry) -> bool:
    state = state_of_size(entry.size)
    return state is not None and state.ended


def _seconds(
    record: BatchSubmission, entry: Entry, state: State | None, result: Lean | None, now: datetime
) -> float:
    if result is not None:
        begun = datetime.fromisoformat(result["started"])
        lasted = max((entry.modified - begun).total_seconds(), float(result["duration_s"])) + STARTING_S
    elif state is not None and not state.ended:
        lasted = (now - record.created).total_seconds()
    else:
        lasted = record.attempt_s
    return min(max(lasted, 0.0), record.attempt_s)


def spent_on(
    store: Store, sweep_id: str, count: int, followed: Sequence[ArrayStatus], *, now: datetime
) -> Decimal:
    """Dollars that what was submitted of a sweep can have cost, or will: never less than it does.

    Array jobs that go on count by what they may cost at most, those that have ended by their attempts.
    """
    alive = {one.array.job_id: one for one in followed if one.array.job_id and not one.ended}
    total = sum((_at_most(one) for one in alive.values()), Decimal(0))
    records = {one.submission.number: one.submission for one in followed}
    attempts = measure_attempts(store, sweep_id, count, list(records.values()), now=now)
    return total + sum(
        (one.dollars or Decimal(0) for one in attempts if one.array.job_id not in alive), Decimal(0)
    )


def _at_most(one: ArrayStatus) -> Decimal:
    record = one.submission
    children = sum(array.size for array in record.arrays)
    return (record.most_cost or Decimal(0)) * one.array.size / children

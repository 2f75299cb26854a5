"""What the points of a sweep on AWS Batch have cost at most: how long each attempt was, by the price's bound.

An attempt is measured from its runner's first moment to the last word of its status object, which comes when
all is saved, and has a minute besides for its container's start. One of which nothing tells, because its
machine was taken back for instance, is taken to have lasted for as long as Batch lets it: those before a
point's newest attempt, and those of which Batch alone knows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from dayfly.aws.estimates import dollars_for
from dayfly.runs import ids
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
    from dayfly.aws.client import Aws

STARTING_S = 60.0
"""What an attempt has besides: its container's start, and the minute that EC2 bills at least."""
_JOBS_A_CALL = 100


@dataclass(frozen=True, kw_only=True)
class AttemptTime:
    """One attempt at a point, and how long it lasted at most until now."""

    index: int
    """Of its point."""
    number: int
    run_id: str
    state: State | None
    """None where its status cannot be read; LOST where nothing ever told of it."""
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

    Those before a point's newest one were begun, too, whether they have told so or not.

    A listing for a thousand, and a GET for each attempt whose result is not in `cache` yet.
    """
    places = _places(store, records)
    entries = [
        (index, number, run_id, entry)
        for index, number, run_id, entry in attempt_entries(store, sweep_id, count)
        if index in places and only in {None, run_id}
    ]
    ended = {run_id: entry.modified for _, _, run_id, entry in entries if _ended(entry)}
    results = load_results(store, ended, Kept.of(cache, store, sweep_id))
    measured = []
    for index, number, run_id, entry in entries:
        record, array = _place_of(places[index], number)
        state = state_of_entry(store, entry, now)
        seconds = _seconds(record, entry, state, results.get(run_id), now)
        measured.append(
            AttemptTime(
                index=index,
                number=number,
                run_id=run_id,
                state=state,
                seconds=seconds,
                record=record,
                array=array,
            )
        )
    return measured if only is not None else [*measured, *_skipped(sweep_id, count, places, measured)]


def _skipped(
    sweep_id: str, count: int, places: Mapping[int, list[_Place]], measured: Sequence[AttemptTime]
) -> Iterator[AttemptTime]:
    """Attempts that never told anything, at points of which a later one did."""
    told: defaultdict[int, set[int]] = defaultdict(set)
    for one in measured:
        told[one.index].add(one.number)
    for index, numbers in told.items():
        begun = min(first for first, _, _ in places[index])
        for number in sorted(set(range(begun, max(numbers))) - numbers):
            record, array = _place_of(places[index], number)
            yield AttemptTime(
                index=index,
                number=number,
                run_id=ids.child_id(sweep_id, index, count, number),
                state=State.LOST,
                seconds=record.attempt_s,
                record=record,
                array=array,
            )


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


BegunIn = Callable[[Sequence[str]], Mapping[str, int]]
"""How many attempts Batch has begun of each of these jobs; without those that it no longer knows."""


def begun_attempts(aws: Aws, job_ids: Sequence[str]) -> dict[str, int]:
    """What Batch says of jobs' attempts: one call for a hundred. Raises AwsError."""
    found: dict[str, int] = {}
    for start in range(0, len(job_ids), _JOBS_A_CALL):
        for job in aws.batch.describe_jobs(jobs=list(job_ids[start : start + _JOBS_A_CALL]))["jobs"]:
            # What has begun has had one at least, whatever is listed.
            found[job["jobId"]] = max(len(job.get("attempts", ())), 1 if job.get("startedAt") else 0)
    return found


def spent_on(  # noqa: PLR0913 -- a sweep, and what is known of it
    store: Store,
    sweep_id: str,
    count: int,
    followed: Sequence[ArrayStatus],
    begun_in: BegunIn,
    *,
    now: datetime,
) -> Decimal:
    """Dollars that what was submitted of a sweep can have cost, or will: never less than it does.

    Array jobs that go on count by what they may cost at most, as do those of which Batch has not said
    whether it took them. Those that have ended count by their attempts; `begun_in` is asked for points that
    may have had more than have told so, and what Batch has forgotten counts in full.
    """
    alive = {one.array.name: one for one in followed if not one.ended}
    total = sum((_at_most(one) for one in alive.values()), Decimal(0))
    records = {one.submission.number: one.submission for one in followed}
    attempts = measure_attempts(store, sweep_id, count, list(records.values()), now=now)
    total += sum((one.dollars or Decimal(0) for one in attempts if one.array.name not in alive), Decimal(0))
    told: defaultdict[str, dict[int, list[AttemptTime]]] = defaultdict(lambda: defaultdict(list))
    for attempt in attempts:
        told[attempt.array.name][attempt.index].append(attempt)
    for one in followed:
        if one.ended and one.array.job_id:
            untold = _untold(store, one, told[one.array.name], begun_in)
            total += _in_full(one.submission) * untold
    return total


def _untold(
    store: Store, one: ArrayStatus, told: Mapping[int, Sequence[AttemptTime]], begun_in: BegunIn
) -> int:
    """How many attempts of an array job that has ended Batch may have begun that nothing tells of."""
    array, asked = one.array, dict[str, int]()
    for child, (index, _) in enumerate(children_of(store, one.submission, array)):
        known = sorted(told.get(index, ()), key=lambda attempt: attempt.number)
        if known and known[-1].over and known[-1].state is not State.LOST:
            continue  # it told its end, and Batch repeats no such attempt
        if len(known) < one.submission.attempts:
            asked[array.job_id if array.size == 1 else f"{array.job_id}:{child}"] = len(known)
    begun = begun_in(list(asked)) if asked else {}
    return sum(max(begun.get(job, one.submission.attempts) - known, 0) for job, known in asked.items())


def _in_full(record: BatchSubmission) -> Decimal:
    price = record.price_per_hour
    return Decimal(0) if price is None else dollars_for(price, timedelta(seconds=record.attempt_s))


def _at_most(one: ArrayStatus) -> Decimal:
    record = one.submission
    children = sum(array.size for array in record.arrays)
    return (record.most_cost or Decimal(0)) * one.array.size / children

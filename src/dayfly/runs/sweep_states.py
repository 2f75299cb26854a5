"""Where the points of a sweep stand: from a listing of status objects, with no GET for a run that has ended.

A point may have been tried several times; its newest attempt tells its state. What an attempt came to by the
notebook's own doing (it succeeded, failed or ran out of time) settles the point; what became of the attempt
otherwise (lost, interrupted, cancelled, never started) leaves it open.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dayfly.errors import DamagedFileError
from dayfly.runs import ids, layout
from dayfly.runs.catalog import state_of_entry
from dayfly.runs.compat import UTC
from dayfly.runs.state import State
from dayfly.runs.status import state_of_size
from dayfly.runs.store import Entry, Store
from dayfly.runs.sweep import Point, SweepRequest

SETTLED = frozenset({State.SUCCEEDED, State.FAILED, State.TIMED_OUT})
"""The ends that are of the notebook's own doing: to run it again would come to the same."""
AGAIN = "again"
_AGAIN_DIGITS = 3


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The newest attempt at a point. `state` is None when it cannot be known; `modified` is UTC."""

    index: int
    number: int
    """From 1."""
    run_id: str
    state: State | None
    modified: datetime
    """Its last heartbeat, or its end."""
    settled: int = 0
    """How many attempts at the point, this one among them, came to an end of the notebook's own doing."""


def list_attempts(
    store: Store,
    sweep_id: str,
    count: int,
    *,
    now: datetime | None = None,
    entries: Iterable[Entry] | None = None,
) -> dict[int, Attempt]:
    """The newest attempt at each point that has one, by the point's index.

    One LIST for a thousand runs of this sweep, whatever else the store has; none where `entries`, the status
    objects of all its runs, are known already. Runs that say that they go on are
    asked whether they live, as `runs.catalog` does.
    """
    moment = now or datetime.now(UTC)
    newest: dict[int, tuple[int, Entry]] = {}
    settled: Counter[int] = Counter()
    for index, number, _, entry in attempt_entries(store, sweep_id, count, entries):
        if state_of_size(entry.size) in SETTLED:
            settled[index] += 1
        if index not in newest or number > newest[index][0]:
            newest[index] = (number, entry)
    return {index: _attempt(store, *newest[index], settled[index], moment) for index in sorted(newest)}


def attempt_entries(
    store: Store, sweep_id: str, count: int, entries: Iterable[Entry] | None = None
) -> Iterator[tuple[int, int, str, Entry]]:
    """Every attempt at every point: index, number, run id, and its status object as a listing has it."""
    for entry in _entries_of(store, sweep_id) if entries is None else entries:
        run_id = _id_of(entry)
        named = ids.sweep_of(run_id)
        if named is not None and named[1] < count:
            yield named[1], named[2], run_id, entry


def _attempt(store: Store, number: int, entry: Entry, settled: int, now: datetime) -> Attempt:
    run_id = _id_of(entry)
    state = state_of_entry(store, entry, now)
    if state in SETTLED and state_of_size(entry.size) not in SETTLED:
        settled += 1  # it has ended since the listing, or could not say so
    named = ids.sweep_of(run_id)
    return Attempt(
        index=named[1] if named else 0,
        number=number,
        run_id=run_id,
        state=state,
        modified=entry.modified,
        settled=settled,
    )


def _id_of(entry: Entry) -> str:
    return entry.key.removeprefix(f"{layout.STATUS}/")


def _entries_of(store: Store, sweep_id: str) -> Iterator[Entry]:
    start = layout.status_key(f"{sweep_id}.")
    directory = store.path(layout.STATUS)
    if directory is not None:
        yield from _scan(directory, f"{sweep_id}.")
        return
    # `after` is exclusive: a sweep has no status object of its own, so nothing is passed over.
    for entry in store.list(layout.STATUS, after=start[:-1]):
        if not entry.key.startswith(start):
            if entry.key > start:
                return  # S3 and memory list in order
            continue
        yield entry


def _scan(directory: Path, beginning: str) -> Iterator[Entry]:
    """The status objects of a directory whose name begins so; looks at no other."""
    try:
        found = os.scandir(directory)
    except FileNotFoundError:
        return
    with found:
        for file in found:
            if not file.name.startswith(beginning) or not ids.is_run_id(file.name):
                continue
            try:
                facts = file.stat()
            except FileNotFoundError:  # removed meanwhile
                continue
            modified = datetime.fromtimestamp(facts.st_mtime, tz=UTC)
            yield Entry(key=layout.status_key(file.name), size=facts.st_size, modified=modified)


def open_points(
    sweep: SweepRequest,
    points: Sequence[Point],
    attempts: Mapping[int, Attempt],
    again: Mapping[int, int],
) -> list[tuple[int, int]]:
    """The points that are to be run now, each with the number of the attempt: (index, attempt), by index.

    `again` says how often a point that was settled was asked for once more (see `load_again`). A point that
    the run of an earlier sweep stands for is never open, nor is one whose newest attempt goes on.
    """
    found: list[tuple[int, int]] = []
    for index in range(min(sweep.count, len(points))):
        if points[index].run is not None:
            continue
        attempt = attempts.get(index)
        if attempt is None:
            found.append((index, 1))
        elif attempt.state is not None and attempt.state.ended:
            wanted = 1 + again.get(index, 0)
            if attempt.settled < wanted:
                found.append((index, attempt.number + 1))
    return found


def load_again(store: Store, sweep_id: str) -> Counter[int]:
    """How often each point was asked for once more, by its index. Raises DamagedFileError."""
    asked: Counter[int] = Counter()
    for entry in sorted(store.list(_again_folder(sweep_id)), key=lambda entry: entry.key):
        content = store.get(entry.key)
        if content is None:  # removed meanwhile
            continue
        try:
            asked.update({int(index) for index in json.loads(content)["indices"]})
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFileError(f"{entry.key} in the store {store.url} is damaged.") from error
    return asked


def ask_again(store: Store, sweep_id: str, indices: Sequence[int], at: datetime) -> str:
    """Ask for points that are settled to be run once more; returns the key of what asks."""
    folder = _again_folder(sweep_id)
    content = json.dumps({"indices": sorted(set(indices)), "at": at.isoformat()}).encode() + b"\n"
    number = sum(1 for _ in store.list(folder)) + 1
    while not store.create(key := f"{folder}/{number:0{_AGAIN_DIGITS}d}.json", content):
        number += 1
    return key


def forget_again(store: Store, sweep_id: str, index: int, times: int) -> None:
    """Take back that a point was asked for once more, so often; what was asked for first goes first."""
    for entry in sorted(store.list(_again_folder(sweep_id)), key=lambda entry: entry.key):
        content = store.get(entry.key) if times > 0 else None
        if content is None:
            continue
        asked = json.loads(content)
        if index in asked["indices"]:
            asked["indices"] = [each for each in asked["indices"] if each != index]
            store.put(entry.key, json.dumps(asked).encode() + b"\n")
            times -= 1


def _again_folder(sweep_id: str) -> str:
    return layout.sweep_key(sweep_id, AGAIN)

"""What came of a sweep: parameters, recorded values, state, time and cost; a row a point.

States come from one listing; of runs that have ended, `result.json` is read, many at once. It never changes,
so what was read from a store elsewhere is kept in the user's cache, and only what is new is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from dayfly.errors import DamagedFileError, RunNotFoundError, StoreError
from dayfly.runs import layout
from dayfly.runs.batch_record import load_submissions
from dayfly.runs.kept_results import Kept, Lean
from dayfly.runs.model import parse_model
from dayfly.runs.state import State
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, decode_points
from dayfly.runs.sweep_states import Attempt, list_attempts

AT_ONCE = 64
"""GETs that are on their way at once: 10,000 at 30 ms each take 5 s."""
_BATCH = 1000
"""After so many, what has come is kept, so that whoever is interrupted need not begin anew."""
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True, kw_only=True)
class PointResult:
    """One point: what it was asked, and where its newest attempt stands or how it ended.

    `state` is None for a point that no run was made of yet, and where it cannot be known (then `run_id` is
    set). Times are UTC; `cost` is dollars, None where the sweep has no price.
    """

    index: int
    parameters: Mapping[str, Any]
    run_id: str | None = None
    attempt: int = 0
    reused: bool = False
    """A run of an earlier sweep stands for this point."""
    state: State | None = None
    reason: str = ""
    message: str = ""
    started: datetime | None = None
    duration_s: float | None = None
    cost: Decimal | None = None
    failed_cell: int | None = None
    """The number of the cell at which it failed; all cells of output.ipynb count, from 1."""
    records: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether it has ended otherwise than well."""
        return self.state is not None and self.state.ended and self.state is not State.SUCCEEDED


@dataclass(frozen=True)
class SweepTable:
    """The points of a sweep, by index, and what came of them."""

    sweep: SweepRequest
    rows: tuple[PointResult, ...]

    @cached_property
    def record_names(self) -> tuple[str, ...]:
        """The names that any notebook recorded something under, in the order in which they first come."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.records))

    @cached_property
    def counts(self) -> Counter[State | None]:
        """How many points are in each state; None: no run yet, or not known."""
        return Counter(row.state for row in self.rows)

    @property
    def cost(self) -> Decimal | None:
        """What the rows have cost together; None where nothing has a price."""
        known = [row.cost for row in self.rows if row.cost is not None]
        return sum(known, Decimal()) if known else None

    @property
    def at_most(self) -> str:
        """What is said before a cost: on AWS Batch the price of a point is a bound."""
        return "at most " if self.sweep.run.backend == "batch" else ""

    def failures_first(self) -> list[PointResult]:
        """The rows, those that failed first; by point otherwise."""
        return sorted(self.rows, key=lambda row: (not row.failed, row.index))

    def reasons(self) -> list[tuple[str, list[PointResult]]]:
        """Why points failed: each message, and the rows that it is of; the most frequent first."""
        grouped: defaultdict[str, list[PointResult]] = defaultdict(list)
        for row in self.rows:
            if row.failed:
                grouped[row.message or str(row.state)].append(row)
        return sorted(grouped.items(), key=lambda item: (-len(item[1]), item[1][0].index))


def load_sweep(store: Store, sweep_id: str) -> tuple[SweepRequest, list[Point]]:
    """A sweep and its points. Raises RunNotFoundError, and DamagedFileError where they do not match."""
    key = layout.sweep_key(sweep_id, layout.SWEEP)
    content = store.get(key)
    if content is None:
        raise RunNotFoundError(
            f"There is no sweep {sweep_id!r}.", why=f"The store {store.url} has no {key}.", hint=_SEE
        )
    sweep = parse_model(SweepRequest, content, key)
    key = layout.sweep_key(sweep_id, layout.POINTS)
    lines = store.get(key)
    if lines is None or hashlib.sha256(lines).hexdigest() != sweep.points_sha256:
        raise DamagedFileError(
            f"{key} is {'not there' if lines is None else 'damaged'}.",
            why=f"It should hold the {sweep.count:,} points of the sweep as they were asked for.",
        )
    return sweep, list(decode_points(lines))


_SEE = "See what there is with: dayfly ps --all"


def load_table(
    store: Store, sweep_id: str, *, cache: Path | None = None, now: datetime | None = None
) -> SweepTable:
    """The table of a sweep; `cache` is a folder in which results from a store elsewhere are kept.

    Raises RunNotFoundError, DamagedFileError and StoreError.
    """
    sweep, points = load_sweep(store, sweep_id)
    attempts = list_attempts(store, sweep_id, sweep.count, now=now)
    reused: dict[str, datetime | None] = {point.run: None for point in points if point.run is not None}
    ended = {
        attempt.run_id: attempt.modified
        for attempt in attempts.values()
        if attempt.state is None or attempt.state.ended
    }
    results = load_results(store, {**reused, **ended}, Kept.of(cache, store, sweep_id))
    rows = _rows(points, attempts, results, _price_of(store, sweep))
    return SweepTable(sweep, tuple(rows))


def _price_of(store: Store, sweep: SweepRequest) -> Decimal | None:
    """Dollars for an hour of a point; the dearest that it can have been, where it was on AWS Batch."""
    price = sweep.price_per_hour
    if sweep.run.backend == "batch":
        prices = [price, *(one.price_per_hour for one in load_submissions(store, sweep.sweep_id))]
        return max((one for one in prices if one is not None), default=None)
    if price is None and sweep.run.machine is not None:
        return sweep.run.machine.price_per_hour
    return price


def _rows(
    points: Sequence[Point],
    attempts: Mapping[int, Attempt],
    results: Mapping[str, Lean],
    price: Decimal | None,
) -> Iterator[PointResult]:
    for index, point in enumerate(points):
        attempt = attempts.get(index)
        run_id = point.run or (attempt.run_id if attempt is not None else None)
        result = results.get(run_id, {}) if run_id is not None else {}
        state = State(result["state"]) if result else (attempt.state if attempt is not None else None)
        duration = result.get("duration_s")
        cost = None
        if price is not None and (point.run is not None or duration is not None):
            cost = Decimal() if point.run is not None else price * Decimal(str(duration)) / 3600
        yield PointResult(
            index=index,
            parameters=point.parameters,
            run_id=run_id,
            attempt=attempt.number if attempt is not None and point.run is None else 0,
            reused=point.run is not None,
            state=state,
            reason=result.get("reason", ""),
            message=result.get("message", ""),
            started=_moment(result.get("started")),
            duration_s=duration,
            cost=cost,
            failed_cell=result.get("failed_cell"),
            records=result.get("records", {}),
        )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))  # noqa: FURB162 -- 3.10 knows no Z


def load_results(store: Store, runs: Mapping[str, datetime | None], kept: Kept) -> dict[str, Lean]:
    """What is needed of the results of these runs, by run id; a run that has none is left out.

    With each run goes when its status told its end; None for one that cannot have been removed since.
    """
    times = {run_id: None if at is None else at.isoformat() for run_id, at in runs.items()}
    found = {
        run_id: lean for run_id, lean in kept.load().items() if times.get(run_id) in {None, lean["as_of"]}
    }
    missing = [run_id for run_id in runs if run_id not in found]
    for start in range(0, len(missing), _BATCH):
        new: list[Lean] = []
        for run_id, content in get_many(store, missing[start : start + _BATCH], layout.RESULT):
            lean = _lean(run_id, content)
            if lean is not None:
                lean["as_of"] = times[run_id]
                found[run_id] = lean
                new.append(lean)
        kept.add(new)
    return found


def get_many(store: Store, run_ids: Iterable[str], name: str) -> Iterator[tuple[str, bytes | None]]:
    """One file of each of these runs, many at once, in order; None where there is none."""
    if store.root is not None:
        for run_id in run_ids:
            yield run_id, _read(store, store.root / layout.run_key(run_id, name))
        return
    ids = list(run_ids)
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="results") as pool:
        try:
            yield from zip(
                ids, pool.map(lambda each: store.get(layout.run_key(each, name)), ids), strict=True
            )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _read(store: Store, path: Path) -> bytes | None:
    """A file of a store on this disk: ten thousand of them in half the time that obstore takes."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"Could not read the store {store.url} ({path.name}).", why=str(error)) from error


def _lean(run_id: str, content: bytes | None) -> Lean | None:
    """What the table needs of a result.json; None for one that is not there or is damaged."""
    if content is None:
        return None
    try:
        said = json.loads(content)
        failed = said.get("failed_cell") or {}
        lean = {
            "run_id": run_id,
            "state": str(State(said["state"])),
            "reason": str(said["reason"]),
            "message": str(said["message"])[:_LONGEST_MESSAGE],
            "started": str(said["started"]),
            "duration_s": float(said["duration_s"]),
            "failed_cell": failed.get("number"),
            "records": dict(said.get("records") or {}),
        }
        _moment(str(said["started"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return lean

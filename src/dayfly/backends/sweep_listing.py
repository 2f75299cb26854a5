"""Runs and sweeps in one listing: a sweep stands in place of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from dayfly.backends.side_by_side import AT_ONCE, side_by_side
from dayfly.backends.sweep_creation import pool_alive
from dayfly.backends.sweep_view import Seen, Sweep
from dayfly.errors import DamagedFileError, RunNotFoundError
from dayfly.runs import ids
from dayfly.runs.catalog import RunSummary, SweepCounts, find_sweep_ids, list_entries, summarize_run
from dayfly.runs.store import Entry, Store


def list_with_sweeps(
    store: Store, *, newest: int | None = None, now: datetime | None = None
) -> list[RunSummary]:
    """The runs that are in no sweep, and the sweeps, newest first; only the `newest` so many when given.

    One listing tells of the runs of all sweeps. What else each sweep needs, a few small requests, is asked
    side by side where the store is far away.
    """
    moment = now or datetime.now(UTC)
    sweeps = find_sweep_ids(store)[-newest if newest else None :]
    # Before the listing: a pool that ends in between has left what it did.
    working = {sweep_id: pool_alive(store, sweep_id) for sweep_id in sweeps}
    runs: dict[str, Entry] = {}
    children: dict[str, list[Entry]] = {sweep_id: [] for sweep_id in sweeps}
    for run_id, entry in list_entries(store, newest=newest, now=moment):
        sweep_id, point, _ = run_id.partition(".")
        if not point:
            runs[run_id] = entry
        elif sweep_id in children:
            children[sweep_id].append(entry)

    def summarize(each: str) -> RunSummary | None:
        if each in runs:
            return summarize_run(store, runs[each], moment)
        return _summarize_sweep(store, each, working=working[each], entries=children[each], moment=moment)

    chosen = sorted([*runs, *sweeps], key=ids.age, reverse=True)[:newest]
    listed = side_by_side(summarize, chosen, AT_ONCE if store.root is None else 1)
    return [summary for summary in listed if summary is not None]


def _summarize_sweep(
    store: Store, sweep_id: str, *, working: bool | None, entries: Sequence[Entry], moment: datetime
) -> RunSummary | None:
    """One sweep as a listing shows it; None for one that was removed meanwhile."""
    requested = ids.started_at(sweep_id)
    if requested is None:
        return None
    # The listing of the newest may begin after this sweep: then it looks for its runs itself.
    seen = Seen(working=working, entries=entries, moment=moment) if entries else None
    try:
        overview = Sweep(sweep_id, store).look(seen)
    except RunNotFoundError:
        return None
    except DamagedFileError:
        return RunSummary(run_id=sweep_id, state=None, requested=requested, updated=requested)
    beats = [attempt.modified for attempt in overview.attempts.values()]
    return RunSummary(
        run_id=sweep_id,
        state=overview.state,
        requested=requested,
        updated=max([*beats, overview.sweep.created]),
        counts=SweepCounts(points=len(overview.points), done=overview.done, failed=overview.failed),
    )

"""Runs and sweeps in one listing: a sweep stands in place of its runs."""

from __future__ import annotations

from datetime import UTC, datetime

from dayfly.backends.sweep_view import Sweep
from dayfly.errors import DamagedFileError, RunNotFoundError
from dayfly.runs import ids
from dayfly.runs.catalog import RunSummary, SweepCounts, find_sweep_ids, list_runs
from dayfly.runs.store import Store


def list_with_sweeps(
    store: Store, *, newest: int | None = None, now: datetime | None = None
) -> list[RunSummary]:
    """The runs that are in no sweep, and the sweeps, newest first; only the `newest` so many when given."""
    moment = now or datetime.now(UTC)
    runs = {run.run_id: run for run in list_runs(store, newest=newest, now=moment, of_sweeps=False)}
    sweeps = set(find_sweep_ids(store))
    chosen = sorted([*runs, *sweeps], key=ids.age, reverse=True)[:newest]
    listed = (summarize_sweep(store, each) if each in sweeps else runs[each] for each in chosen)
    return [summary for summary in listed if summary is not None]


def summarize_sweep(store: Store, sweep_id: str) -> RunSummary | None:
    """One sweep as a listing shows it; None for one that was removed meanwhile."""
    requested = ids.started_at(sweep_id)
    if requested is None:
        return None
    try:
        overview = Sweep(sweep_id, store).look()
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

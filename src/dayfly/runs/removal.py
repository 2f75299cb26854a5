"""Removing a run. It can be cut off at any moment and be repeated: the status object goes last."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

from dayfly.errors import RunConflictError, StoreError
from dayfly.runs import layout
from dayfly.runs.catalog import find_sweep_ids, list_runs, state_of
from dayfly.runs.model import parse_model
from dayfly.runs.request import Request
from dayfly.runs.state import State
from dayfly.runs.store import Store
from dayfly.runs.sweep import SweepRequest

_BATCH = 1000
_READERS = 16
_SETTLED = timedelta(days=1)


def remove_run(store: Store, run_id: str) -> None:
    """Remove everything of a run. Raises RunConflictError while it goes on, RunNotFoundError."""
    check_ended(store, run_id)
    directory = store.path(layout.run_key(run_id, ""))
    if directory is not None:
        _remove_directory(directory)
    else:
        keys = [entry.key for entry in store.list(layout.run_prefix(run_id).rstrip("/"))]
        for start in range(0, len(keys), _BATCH):
            store.delete(keys[start : start + _BATCH])
    store.delete([layout.status_key(run_id)])


def check_ended(store: Store, run_id: str) -> State:
    """How a run ended. Raises RunConflictError while it goes on, RunNotFoundError."""
    state = state_of(store, run_id)
    if state is None or not state.ended:
        raise RunConflictError(
            f"The run {run_id} has not ended ({state or 'unknown'}).",
            hint=f"End it first with: dayfly stop {run_id}",
        )
    return state


def remove_unused_snapshots(store: Store, *, now: datetime) -> list[str]:
    """Remove the bundles of commits that no run has any more; returns the commits.

    Those younger than a day stay: their run may be about to begin. Costs a GET for each run that is
    left, where there is a bundle to decide about.
    """
    prefix, suffix = f"{layout.SNAPSHOTS}/", ".bundle"
    old = {
        entry.key.removeprefix(prefix).removesuffix(suffix)
        for entry in store.list(layout.SNAPSHOTS)
        if entry.key.endswith(suffix) and now - entry.modified > _SETTLED
    }
    if not old:
        return []
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        used = set(pool.map(lambda run: _commit_of(store, run.run_id), list_runs(store)))
        # A sweep needs its commit also for the points that are still to be run.
        used |= set(pool.map(lambda sweep_id: _commit_of_sweep(store, sweep_id), find_sweep_ids(store)))
    unused = sorted(old - used)
    for start in range(0, len(unused), _BATCH):
        store.delete([layout.snapshot_key(commit) for commit in unused[start : start + _BATCH]])
    return unused


def _commit_of(store: Store, run_id: str) -> str:
    """The commit whose bundle a run needs; empty when it needs none."""
    content = store.get(layout.run_key(run_id, layout.REQUEST))
    if content is None:
        return ""
    snapshot = parse_model(Request, content, f"the request of {run_id}").snapshot
    return snapshot.commit if snapshot is not None else ""


def _commit_of_sweep(store: Store, sweep_id: str) -> str:
    content = store.get(layout.sweep_key(sweep_id, layout.SWEEP))
    if content is None:
        return ""
    snapshot = parse_model(SweepRequest, content, f"the request of {sweep_id}").run.snapshot
    return snapshot.commit if snapshot is not None else ""


def _remove_directory(directory: Path) -> None:
    """Remove a run directory on disk, and nothing that a link in it leads to.

    A listing would follow links, and fail for names that no store can hold.
    """
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"Could not remove {directory}.", why=str(error)) from error

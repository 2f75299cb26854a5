"""Removing a run. It can be cut off at any moment and be repeated: the status object goes last."""

from __future__ import annotations

import shutil

from dayfly.errors import RunConflictError
from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.store import Store

_BATCH = 1000


def remove_run(store: Store, run_id: str) -> None:
    """Remove everything of a run. Raises RunConflictError while it goes on, RunNotFoundError."""
    state = state_of(store, run_id)
    if state is None or not state.ended:
        raise RunConflictError(
            f"The run {run_id} has not ended ({state or 'unknown'}).",
            hint=f"End it first with: dayfly stop {run_id}",
        )
    keys = [entry.key for entry in store.list(layout.run_prefix(run_id).rstrip("/"))]
    for start in range(0, len(keys), _BATCH):
        store.delete(keys[start : start + _BATCH])
    directory = store.path(layout.run_key(run_id, ""))
    if directory is not None:
        shutil.rmtree(directory, ignore_errors=True)  # the folders, and what no store would list
    store.delete([layout.status_key(run_id)])

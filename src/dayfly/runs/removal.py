"""Removing a run. It can be cut off at any moment and be repeated: the status object goes last."""

from __future__ import annotations

import shutil
from pathlib import Path

from dayfly.errors import RunConflictError, StoreError
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
    directory = store.path(layout.run_key(run_id, ""))
    if directory is not None:
        _remove_directory(directory)
    else:
        keys = [entry.key for entry in store.list(layout.run_prefix(run_id).rstrip("/"))]
        for start in range(0, len(keys), _BATCH):
            store.delete(keys[start : start + _BATCH])
    store.delete([layout.status_key(run_id)])


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

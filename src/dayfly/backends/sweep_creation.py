"""A planned sweep into the store; stopping it, and going on with it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime

from dayfly.backends.sweep_plan import SweepPlan
from dayfly.errors import RunConflictError, StoreError, UsageError
from dayfly.runner.directories import cache_directory
from dayfly.runs import ids, layout
from dayfly.runs.lock import runner_alive
from dayfly.runs.store import Store
from dayfly.runs.sweep import SweepRequest, encode_points

_ID_ATTEMPTS = 20


def create_sweep(store: Store, plan: SweepPlan) -> SweepRequest:
    """Put a new sweep into the store: with its request, which comes last, it exists. Returns it as it stands.

    An id that is taken is replaced by another; nothing is ever overwritten.
    """
    sweep, points = plan.sweep, encode_points(plan.points)
    snapshot = sweep.run.snapshot
    if plan.bundle is not None and snapshot is not None:
        key = layout.snapshot_key(snapshot.commit)
        with plan.bundle as bundle:
            if not store.exists(key):
                store.put(key, bundle)
    for _ in range(_ID_ATTEMPTS):
        if store.create(layout.sweep_key(sweep.sweep_id, layout.POINTS), points):
            break
        again = ids.new_run_id(ids.notebook_slug(sweep.sweep_id), datetime.now(UTC))
        sweep = _with_id(sweep, again)
    else:
        raise StoreError(f"No free sweep id could be found in {store.url}.")
    try:
        store.put(layout.sweep_key(sweep.sweep_id, layout.INPUT), plan.content)
        store.put(layout.sweep_base_key(sweep.base, sweep.sweep_id), b"")
        store.put(layout.sweep_key(sweep.sweep_id, layout.SWEEP), sweep.to_bytes())
    except BaseException:
        with suppress(StoreError):
            names = (layout.SWEEP, layout.INPUT, layout.POINTS)
            marker = layout.sweep_base_key(sweep.base, sweep.sweep_id)
            store.delete([*(layout.sweep_key(sweep.sweep_id, name) for name in names), marker])
        raise
    return sweep


def _with_id(sweep: SweepRequest, sweep_id: str) -> SweepRequest:
    run = sweep.run.model_copy(update={"run_id": sweep_id})
    return sweep.model_copy(update={"sweep_id": sweep_id, "run": run})


def pool_alive(store: Store, sweep_id: str) -> bool | None:
    """Whether a pool is at work on the sweep; None when that cannot be known from here."""
    directory = store.path(layout.sweep_key(sweep_id, ""))
    if directory is not None:
        return runner_alive(directory)
    with suppress(UsageError):  # without a home there is no cache
        # As `pool.pool_directory`: a pool on this machine is known of, one on another is not.
        return runner_alive(cache_directory(os.environ) / layout.SWEEPS / sweep_id) or None
    return None


def ask_sweep_to_stop(store: Store, sweep_id: str, by: str) -> bool:
    """Ask for the end of the whole sweep; whether nobody had before."""
    asked = {"at": datetime.now(UTC).isoformat(), "by": by}
    return store.create(layout.sweep_key(sweep_id, layout.STOP), json.dumps(asked).encode() + b"\n")


def asked_to_stop(store: Store, sweep_id: str) -> bool:
    """Whether somebody has asked for the end of the sweep, and nobody for its going on."""
    return store.exists(layout.sweep_key(sweep_id, layout.STOP))


def let_go_on(store: Store, sweep_id: str) -> None:
    """Take back what has stopped the sweep. Raises RunConflictError while it is still being stopped."""
    if not asked_to_stop(store, sweep_id):
        return
    if pool_alive(store, sweep_id):
        raise RunConflictError(
            f"The sweep {sweep_id} is being stopped.",
            why="Its runs that were at work save what they have.",
            hint="Repeat the command when it has ended; see how far it is with: dayfly show " + sweep_id,
        )
    store.delete([layout.sweep_key(sweep_id, layout.STOP)])

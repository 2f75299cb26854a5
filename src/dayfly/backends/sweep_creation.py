"""A planned sweep into the store; stopping it, and going on with it."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime

from dayfly.backends.sweep_plan import SweepPlan, digest_of
from dayfly.errors import RunConflictError, StoreError, UsageError
from dayfly.runner.directories import cache_directory
from dayfly.runs import ids, layout
from dayfly.runs.lock import runner_alive
from dayfly.runs.model import parse_model
from dayfly.runs.store import Store
from dayfly.runs.sweep import SweepRequest, encode_points

_ID_ATTEMPTS = 20
_CLAIM_S = 5.0
_LOOK_S = 0.1


def create_sweep(store: Store, plan: SweepPlan, *, patience_s: float = _CLAIM_S) -> SweepRequest:
    """Put a new sweep into the store: with its request, which comes last, it exists. Returns it as it stands.

    An id that is taken is replaced by another; nothing is ever overwritten. Of two that ask for the same at
    the same moment, the second gets the sweep of the first, for which it waits `patience_s`.
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
    first = None if plan.forced else _claimed_by(store, sweep, digest_of(sweep, plan.points), patience_s)
    if first is not None:
        store.delete([layout.sweep_key(sweep.sweep_id, layout.POINTS)])
        return first
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


def _claimed_by(store: Store, sweep: SweepRequest, digest: str, patience_s: float) -> SweepRequest | None:
    """The sweep of somebody who asks for the same at this moment; None from when on it is ours to make."""
    key = layout.sweep_claim_key(digest)
    if store.create(key, sweep.sweep_id.encode()):
        return None
    first = (store.get(key) or b"").decode("ascii", "replace")
    give_up = time.monotonic() + patience_s
    while ids.is_run_id(first):
        content = store.get(layout.sweep_key(first, layout.SWEEP))
        if content is not None:
            return parse_model(SweepRequest, content, layout.SWEEP)
        if time.monotonic() >= give_up:
            break
        time.sleep(_LOOK_S)
    store.put(key, sweep.sweep_id.encode())  # who had claimed it was cut off, or its sweep was removed
    return None


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


def pool_began(store: Store, sweep_id: str) -> datetime | None:
    """When the pool that is at work on the sweep began, where that is known here: it wrote its lock then."""
    if not pool_alive(store, sweep_id):
        return None
    try:
        directory = store.path(layout.sweep_key(sweep_id, ""))
        lock = (directory or cache_directory(os.environ) / layout.SWEEPS / sweep_id) / layout.LOCK
        return datetime.fromtimestamp(lock.stat().st_mtime, UTC)
    except OSError:  # it has ended just now
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

"""Beginning and going on with a sweep: whoever works on it, here or in AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dayfly.backends.processes import Execution
from dayfly.backends.sweep_creation import create_sweep, let_go_on, pool_alive
from dayfly.backends.sweep_plan import SweepPlan
from dayfly.backends.sweep_view import Sweep
from dayfly.errors import UsageError
from dayfly.runs.store import Store

if TYPE_CHECKING:
    from dayfly.aws.batch_plan import Agreed

StartPool = Callable[[Store, str, Mapping[str, str]], Execution]
_LOOK_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A sweep, and who works on it for this command: None when it needs nobody, or another does already."""

    sweep: Sweep
    process: Execution | None
    busy: bool = False
    """A pool was at work on it already."""


def begin_sweep(store: Store, plan: SweepPlan, environ: Mapping[str, str], start: StartPool) -> Begun:
    """Create the sweep, or take up the one that is there, and start what works on it."""
    if plan.continues is None:
        sweep = Sweep(create_sweep(store, plan).sweep_id, store)
    else:
        if plan.bundle is not None:
            plan.bundle.close()
        sweep = Sweep(plan.sweep.sweep_id, store)
    return go_on(sweep, environ, start)


def go_on(sweep: Sweep, environ: Mapping[str, str], start: StartPool) -> Begun:
    """Start what works on the open points of a sweep, unless somebody does. Raises RunConflictError."""
    store, sweep_id = sweep.store, sweep.sweep_id
    let_go_on(store, sweep_id)
    if pool_alive(store, sweep_id):
        return Begun(sweep=sweep, process=None, busy=True)
    if not sweep.look().open:
        return Begun(sweep=sweep, process=None)
    return Begun(sweep=sweep, process=start(store, sweep_id, environ))


def wait_until_taken_up(begun: Begun) -> None:
    """Wait until the pool of a sweep is at work, or has ended: whoever looks next sees it as it is."""
    process, sweep = begun.process, begun.sweep
    if process is None:
        return
    while pool_alive(sweep.store, sweep.sweep_id) is False:
        if process.wait(_LOOK_S):
            return
    process.leave()


def pool_for(
    backend: str, *, jobs: int | None = None, spot: bool | None = None, agreed: Agreed | None = None
) -> StartPool:
    """What works on the sweeps of a backend. Raises UsageError for one that has none.

    `jobs` is how many runs it begins at once on this computer; None: as the sweep was asked for at first.
    `spot` is of machines in AWS; None: as the sweep had them before. `agreed` is what may be submitted there
    at most; None: nobody was asked.
    """
    if backend in {"local", "docker"}:
        from dayfly.backends.pool import start_pool

        return partial(start_pool, jobs=jobs)
    if backend == "batch":
        from dayfly.backends.batch import start_batch

        return partial(start_batch, spot=spot, agreed=agreed)
    raise UsageError(f"A sweep cannot run on {backend}.", why="Sweeps run on: local, docker, batch.")

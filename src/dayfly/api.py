"""The library: run notebooks and find runs from Python. `dayfly` re-exports it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dayfly.backends.asked import Asked, BackendName
from dayfly.backends.creation import Submission, create_run
from dayfly.backends.local import start_local
from dayfly.backends.processes import Execution
from dayfly.backends.stores import project_stores, store_for
from dayfly.backends.submission import plan_submission
from dayfly.backends.sweep_names import find_named, not_a_run, not_a_sweep
from dayfly.backends.sweep_plan import plan_sweep, wish_of
from dayfly.backends.sweep_points import Drawing, grid_from
from dayfly.backends.sweep_start import Begun, begin_sweep, pool_for, wait_until_taken_up
from dayfly.backends.sweep_view import Sweep
from dayfly.errors import DayflyError, RunConflictError, UsageError
from dayfly.project.load import load_project
from dayfly.runner.signals import defer_signals
from dayfly.runs.run import Run
from dayfly.runs.store import Store

if TYPE_CHECKING:
    from dayfly.backends.ec2_target import Ec2Target
    from dayfly.runs.request import Request


def start(submission: Submission, store: Store) -> tuple[Run, Execution]:
    """Create and start a run that has been checked; returns it and what executes it.

    Whoever interrupts this has no run to interrupt, so the run is interrupted here.
    """
    if submission.target is not None:
        request = create_run(store, submission)
        return Run(request.run_id, store), _start_machine(store, request, submission.target)
    made: Request | None = None
    execution: Execution | None = None
    entered = False
    try:
        made = create_run(store, submission)
        # What comes now is delivered at its end, when there is something to interrupt. Containers may wait
        # for a download before: that can be interrupted, and then nobody ever takes up the run.
        local = made.backend == "local"
        with defer_signals() if local else nullcontext():
            entered = True
            execution = _start_here(store, made, submission.content)
    except KeyboardInterrupt:
        if execution is not None:
            execution.interrupt()
        elif made is not None and made.backend == "local" and not entered:
            with defer_signals():  # so that it says how it ended
                _start_here(store, made, submission.content).interrupt()
        raise
    return Run(made.run_id, store), execution


def _start_here(store: Store, request: Request, content: bytes) -> Execution:
    if request.backend == "local":
        return start_local(store, request, content, os.environ)
    from dayfly.backends.docker import start_docker

    return start_docker(store, request, content, os.environ)


def _start_machine(store: Store, request: Request, target: Ec2Target) -> Execution:
    """The machine of a run; whoever interrupts its making has no run to stop, so it is stopped here."""
    from dayfly.backends.ec2 import settle_interrupted, start_ec2

    try:
        return start_ec2(store, request, target)
    except KeyboardInterrupt:
        with suppress(DayflyError):
            if settle_interrupted(store, request, target):
                Run(request.run_id, store).stop(by="whoever started it")
        raise


def run(  # noqa: PLR0913 -- what a run can be asked for, by name
    notebook: str | os.PathLike[str],
    parameters: Mapping[str, Any] | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    allow_unknown: bool = False,
    wait: bool = True,
    on: BackendName = "local",
    commit: str | None = None,
    dirty: bool = False,
    token: str | None = None,
    **settings: Any,
) -> Run:
    """Run a notebook and return the run, when it has ended (or, with `wait=False`, begun).

    `on="docker"` runs it in the project's image, `on="ec2"` on a machine in AWS that ends with it; `commit`
    in a checkout of that commit, `dirty` in one of the working tree as it is. `token`: submitting the same
    one twice makes one run on a machine.
    `output` is a path that the executed notebook is also written to; `settings` are those of
    `dayfly.toml` (`timeout="2h"`, `kernel="python3"`, `store="runs"`, ...). A run that fails is
    returned like any other: ask its `state`, or call `check()`. Raises UsageError and its kin before
    anything is created when the request is wrong.

    >>> import dayfly
    >>> dayfly.run("analysis.ipynb", parameters={"alpha": 0.1}).check().output  # doctest: +SKIP
    """
    project = load_project(Path.cwd(), os.environ, _flags(settings))
    asked = Asked(
        notebook=os.fspath(notebook),
        parameters=parameters or {},
        allow_unknown=allow_unknown,
        output_copy=os.fspath(output) if output is not None else None,
        backend=on,
        commit=commit,
        dirty=dirty,
        token=token,
    )
    if on == "ec2" and output is not None and not wait:
        raise UsageError(
            "output needs wait=True for a run on a machine.",
            hint="Take the notebook when the run has ended: Run.output_bytes()",
        )
    submission = plan_submission(asked, project, os.environ, datetime.now(UTC))
    target = submission.target
    store = store_for(project, os.environ, submission)
    started, process = start(submission, store)
    if not wait:
        process.leave()
        return started
    try:
        process.wait()
    except BaseException:  # Ctrl-C: a run that somebody waits for ends with the waiting
        process.interrupt()
        process.wait()
        raise
    if target is not None and output is not None:
        with suppress(RunConflictError):  # its end says why there is none
            Path(output).write_bytes(started.output_bytes())
    return started


async def run_async(
    notebook: str | os.PathLike[str], parameters: Mapping[str, Any] | None = None, **options: Any
) -> Run:
    """`run`, for asynchronous code; takes the same options. Cancelling the task stops the run."""
    import asyncio

    wait = options.pop("wait", True)
    started = await asyncio.to_thread(lambda: run(notebook, parameters, wait=False, **options))
    if wait:
        try:
            await started.wait_async()
        except asyncio.CancelledError:
            started.stop(by="its asynchronous task, which was cancelled")
            raise
    return started


def sweep(  # noqa: PLR0913 -- what a sweep can be asked for, by name
    notebook: str | os.PathLike[str],
    grid: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    parameters: Mapping[str, Any] | None = None,
    *,
    zipped: bool = False,
    sample: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    retries: int | None = None,
    force: bool = False,
    allow_unknown: bool = False,
    wait: bool = True,
    on: BackendName = "local",
    commit: str | None = None,
    dirty: bool = False,
    **settings: Any,
) -> Sweep:
    """Run a notebook once for each point of a grid, and return the sweep when it has ended (or begun).

    `grid` is a mapping of names to values, whose product is taken (`zipped`: in step), or a list of points,
    each a mapping, or a data frame of pandas; `parameters` are shared by all. Whatever can be iterated and is
    no text and no mapping is several values. `sample` draws so many points. The same points again go
    on with the same sweep; `force` runs all. What fails is told by `states`, and raised by `check()`; what
    came of each point, by `results()`. `on="docker"` runs them in containers, `on="batch"` on AWS Batch, and
    nothing is asked: `max_cost` is the limit. `settings` are those of `run`.

    Raises UsageError and its kin before anything is created when the request is wrong.

    >>> import dayfly
    >>> dayfly.sweep("analysis.ipynb", {"alpha": [0.1, 0.2], "seed": range(20)}).states  # doctest: +SKIP
    """
    project = load_project(Path.cwd(), os.environ, _flags(settings))
    asked = Asked(
        notebook=os.fspath(notebook), allow_unknown=allow_unknown, backend=on, commit=commit, dirty=dirty
    )
    wish = wish_of(
        project,
        grid=grid_from(grid).sharing(parameters or {}),
        drawing=Drawing(zipped=zipped, sample=sample, seed=seed),
        force=force,
        jobs=jobs,
        retries=retries,
    )
    pool = pool_for(on, jobs=wish.jobs, spot=project.settings.spot)
    opened = partial(store_for, project, os.environ)
    plan = plan_sweep(asked, wish, project, os.environ, datetime.now(UTC), opened)
    begun = begin_sweep(plan.store, plan, os.environ, pool)
    if wait:
        _see_through(begun)
    else:
        wait_until_taken_up(begun)
    return begun.sweep


def _see_through(begun: Begun) -> None:
    """Wait until a sweep has ended; Ctrl-C ends it, for one that somebody waits for ends with the waiting."""
    process = begun.process
    if process is None:
        begun.sweep.wait()
        return
    try:
        process.wait()
    except BaseException:
        process.interrupt()
        process.wait()
        raise


def _flags(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as flags give them: paths are text."""
    return {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in settings.items()
    }


def find(name: str = "last", *, store: str | os.PathLike[str] | None = None) -> Run:
    """The run with this id, unique prefix, or `last`, here or in AWS; `S[7]` is a point of a sweep.

    Raises RunNotFoundError, and RunConflictError for a whole sweep.
    """
    found = _find(name, store)
    if not isinstance(found, Run):
        raise not_a_run(found)
    return found


def find_sweep(name: str = "last", *, store: str | os.PathLike[str] | None = None) -> Sweep:
    """The sweep with this id, unique prefix, or `last` (whatever runs came after it), here or in AWS.

    Raises RunNotFoundError, and RunConflictError for a run.
    """
    found = _find(name, store, of_sweeps=True)
    if isinstance(found, Run):
        raise not_a_sweep(found)
    return found


def _find(name: str, store: str | os.PathLike[str] | None, *, of_sweeps: bool = False) -> Run | Sweep:
    flags = {"store": os.fspath(store)} if store is not None else {}
    project = load_project(Path.cwd(), os.environ, flags, only=("store", "aws"))
    return find_named(project_stores(project, os.environ), name, of_sweeps=of_sweeps)[0]

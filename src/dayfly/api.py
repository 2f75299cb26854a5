"""The library: run notebooks and find runs from Python. `dayfly` re-exports it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dayfly.backends.asked import Asked, BackendName
from dayfly.backends.creation import Submission, create_run
from dayfly.backends.everywhere import find_everywhere
from dayfly.backends.local import start_local
from dayfly.backends.processes import Execution
from dayfly.backends.stores import open_project_store, project_stores
from dayfly.backends.submission import plan_submission
from dayfly.errors import DayflyError, RunConflictError, UsageError
from dayfly.project.load import load_project
from dayfly.runs.run import Run
from dayfly.runs.store import Store

if TYPE_CHECKING:
    from dayfly.backends.ec2_target import Ec2Target
    from dayfly.runs.request import Request


def start(submission: Submission, store: Store) -> tuple[Run, Execution]:
    """Create and start a run that has been checked; returns it and what executes it."""
    request = create_run(store, submission)
    started = Run(request.run_id, store)
    if submission.target is not None:
        return started, _start_machine(store, request, submission.target)
    if request.backend == "local":
        return started, start_local(store, request, submission.content, os.environ)
    from dayfly.backends.docker import start_docker

    return started, start_docker(store, request, submission.content, os.environ)


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
    flags = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in settings.items()
    }
    project = load_project(Path.cwd(), os.environ, flags)
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
    store = target.store if target is not None else open_project_store(project, os.environ)
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


def find(name: str = "last", *, store: str | os.PathLike[str] | None = None) -> Run:
    """The run with this id, unique prefix, or `last`, here or in AWS. Raises RunNotFoundError."""
    flags = {"store": os.fspath(store)} if store is not None else {}
    project = load_project(Path.cwd(), os.environ, flags, only=("store", "aws"))
    found = find_everywhere(project_stores(project, os.environ), name)
    return Run(found.run_id, found.store)

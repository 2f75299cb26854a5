"""One run, from a kernel that boots to a run directory that is complete."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat

from dayfly.runner import annotate, closing
from dayfly.runner.cells import CellRunner, make_collector
from dayfly.runner.checkpoints import keep_checkpoints
from dayfly.runner.clock import steady_s, utc_now
from dayfly.runner.connection import (
    KernelClient,
    KernelNotReadyError,
    connect,
    exit_description,
    shut_down,
    wait_until_ready,
)
from dayfly.runner.context import Session
from dayfly.runner.ending import Ending, Intent, watch_for_stop
from dayfly.runner.facts import Facts, gather_facts
from dayfly.runner.journal import Journal
from dayfly.runner.launch import LaunchedKernel
from dayfly.runner.notebook import Notebook
from dayfly.runner.notebook_file import NotebookFile
from dayfly.runner.outputs_folder import collect_folder
from dayfly.runner.records import path_code
from dayfly.runner.signals import ENDING, release_signals
from dayfly.runs import layout
from dayfly.runs.request import Request
from dayfly.runs.result import Reason, Result
from dayfly.runs.state import State

STARTUP_TIMEOUT_S = 120.0
_COMPLETED = Intent(state=State.SUCCEEDED, reason=Reason.COMPLETED, message="Every cell was executed.")
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


async def run_session(  # noqa: PLR0913 -- what a run is made of
    run_dir: Path,
    request: Request,
    notebook: Notebook,
    *,
    kernel: LaunchedKernel,
    journal: Journal,
    on_state: Callable[[State], None],
    facts: Facts | None = None,
) -> Result:
    """Execute the notebook and leave the run directory complete.

    Never raises for what a notebook does; an OSError means that not even the result could be written.
    """
    started = utc_now() - timedelta(seconds=steady_s() - kernel.launched_s)
    annotate.prepare_notebook(notebook, request, started)
    session = Session(
        run_dir=run_dir,
        request=request,
        kernel=kernel,
        journal=journal,
        notebook=nbformat.from_dict(notebook),
        file=NotebookFile(run_dir / layout.OUTPUT, notebook),
        ending=Ending(kernel, request.grace_s),
        started=started,
        on_state=on_state,
        facts=asyncio.create_task(_facts(request, facts)),
    )
    journal.on_failure = lambda error: _storage_failed(session, error)
    with _signals(session.ending):
        try:
            _try_write(session)
            async with _timers(session), _outputs_folder(session):
                end = await _execute(session)
                return await closing.close_run(session, end)
        finally:
            session.file.close()


async def _facts(request: Request, known: Facts | None) -> Facts:
    return known if known is not None else await asyncio.to_thread(gather_facts, request)


def _try_write(session: Session) -> None:
    """The first output.ipynb: all cells there, none run."""
    try:
        session.file.write(session.file.snapshot())
    except OSError as error:
        session.journal.on_failure(error)


async def _execute(session: Session) -> Intent:
    """Boot, execute, shut the kernel down; how the run ends."""
    client = connect(session.kernel)
    try:
        return await _execute_with(session, client)
    finally:
        client.stop_channels()
        client.context.destroy(linger=0)


async def _execute_with(session: Session, client: KernelClient) -> Intent:
    # nbformat compiles its schema at the first output (40 ms): let that be while the kernel boots.
    nbformat.v4.new_output("stream", text="")
    try:
        info = await wait_until_ready(client, STARTUP_TIMEOUT_S)
    except KernelNotReadyError as error:
        return await closing.save_notebook(session, session.ending.intent or _not_ready(session, error))
    session.ending.ready(client)
    _tell_kernel(session, info)
    if info.get("language_info", {}).get("name") == "python" and not session.kernel.finds_dayfly:
        # Shell requests are answered in order, so nobody waits for this one.
        client.execute(path_code(), silent=True, store_history=False, stop_on_error=False)
    session.cells = CellRunner(
        client=make_collector(
            session.notebook,
            request=session.request,
            journal=session.journal,
            file=session.file,
            client=client,
        ),
        kernel=session.kernel,
        request=session.request,
        journal=session.journal,
        file=session.file,
        ending=session.ending,
    )
    async with _checkpoints(session, session.cells):
        end = await session.cells.execute_all()
    await session.ending.settle()
    session.enter(State.SAVING)
    session.cells.save_changed()
    session.cells.client.set_widgets_metadata()
    # The notebook is written while the kernel runs its exit hooks.
    stopping = asyncio.create_task(_shut_down(session, client))
    end = await closing.save_notebook(session, end or _COMPLETED)
    await stopping
    return end


async def _shut_down(session: Session, client: KernelClient) -> None:
    grace = session.request.grace_s
    if not await shut_down(client, session.kernel, grace):
        session.journal.warn(f"The kernel did not end within {grace:g} s of being asked; it was killed.")
    session.kernel.signal_group(signal.SIGKILL)  # what the notebook started ends with it


def _tell_kernel(session: Session, info: dict[str, Any]) -> None:
    spec, metadata = session.kernel.spec, session.notebook["metadata"]
    metadata["language_info"] = info.get("language_info", {})
    metadata["kernelspec"] = {
        "name": spec.name,
        "display_name": spec.display_name,
        "language": spec.language,
    }
    session.file.metadata = metadata
    session.journal.event(
        "kernel",
        name=spec.name,
        language=info.get("language_info", {}).get("name", spec.language),
        version=info.get("language_info", {}).get("version", ""),
        python=session.request.python.executable,
        source=session.request.python.source,
    )
    session.enter(State.RUNNING)


def _not_ready(session: Session, error: KernelNotReadyError) -> Intent:
    how = exit_description(session.kernel)
    log = session.run_dir / layout.RUNNER_LOG
    tail = log.read_text("utf-8", "replace").strip().splitlines()[-5:] if log.exists() else []
    message = f"{error}{f' ({how})' if how else ''}"
    if tail:
        message += " It said:\n" + "\n".join(tail)
    elif not how:
        message += " Some kernels cannot use Unix sockets: try --kernel-transport tcp."
    return Intent(state=State.FAILED, reason=Reason.KERNEL_NOT_READY, message=message)


def _storage_failed(session: Session, error: OSError) -> None:
    """The run directory cannot be written: stop the notebook while what there is can be told."""
    if session.ending.asked:
        return
    full = error.errno in _DISK_FULL
    session.ending.ask(
        Intent(
            state=State.FAILED,
            reason=Reason.DISK_FULL if full else Reason.SAVE_FAILED,
            message=f"The disk that holds {session.run_dir} is full."
            if full
            else f"The run directory {session.run_dir} cannot be written: {error}.",
        )
    )


@contextmanager
def _signals(ending: Ending) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP end the run as interrupted; a second one at once."""
    loop = asyncio.get_running_loop()
    for number in ENDING:
        intent = Intent(
            state=State.INTERRUPTED,
            reason=Reason.SIGNAL,
            message=f"The run was interrupted ({number.name}).",
        )
        loop.add_signal_handler(number, ending.ask, intent)
    release_signals()
    try:
        yield
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _timers(session: Session) -> AsyncIterator[None]:
    """The notebook's timeout, counted from the start of its kernel, and the stop file."""
    request, loop = session.request, asyncio.get_running_loop()
    watcher = asyncio.create_task(watch_for_stop(session.run_dir / layout.STOP, session.ending.ask))
    handle = None
    if request.timeout_s is not None:
        late = Intent(
            state=State.TIMED_OUT,
            reason=Reason.TIMED_OUT,
            message=f"The notebook took longer than the {request.timeout_s:g} s that it may take.",
        )
        left_s = request.timeout_s - (steady_s() - session.kernel.launched_s)
        handle = loop.call_later(left_s, session.ending.ask, late)
    try:
        yield
    finally:
        if handle is not None:
            handle.cancel()
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


@asynccontextmanager
async def _outputs_folder(session: Session) -> AsyncIterator[None]:
    if session.request.outputs is None:
        yield
        return
    folder = Path(session.request.outputs)

    def waiting() -> None:
        session.journal.warn(f"Waiting for another run that writes to {folder}.")

    into = session.run_dir / layout.OUTPUTS
    async with collect_folder(folder, into, waiting, lambda: session.ending.asked) as collect:
        session.collect = collect
        yield


@asynccontextmanager
async def _checkpoints(session: Session, cells: CellRunner) -> AsyncIterator[None]:
    task = asyncio.create_task(
        keep_checkpoints(
            session.file,
            cells.take_snapshot,
            session.journal.warn,
            on_disk_full=lambda: _storage_failed(session, OSError(errno.ENOSPC, "No space left on device")),
        )
    )
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

"""Executing the cells one after the other, and knowing how far it came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from dayfly.runner.annotate import annotate_cell
from dayfly.runner.clock import steady_s, utc_now
from dayfly.runner.connection import exit_description, wait_for_exit
from dayfly.runner.ending import Ending, Intent
from dayfly.runner.journal import Journal
from dayfly.runner.launch import LaunchedKernel
from dayfly.runner.memory import why_killed
from dayfly.runner.notebook import will_execute
from dayfly.runner.notebook_file import NotebookFile, Snapshot
from dayfly.runner.outputs import OutputCollector, finish_streams
from dayfly.runner.records import Records
from dayfly.runner.serialize import Text
from dayfly.runs.request import Request
from dayfly.runs.result import CellCounts, FailedCell, Reason
from dayfly.runs.state import CellState, State

_LONGEST_TEXT = 2000


@dataclass(kw_only=True)
class CellRunner:
    """The cells of one run. `counts` and `failed` say how far it came, at any moment.

    What a finished cell leaves to write (its event, its place in the spool) is written while the
    kernel is at work on the next one.
    """

    client: OutputCollector
    kernel: LaunchedKernel
    request: Request
    journal: Journal
    file: NotebookFile
    ending: Ending
    failed: FailedCell | None = None
    states: dict[int, CellState] = field(default_factory=dict)
    _running: tuple[int, NotebookNode] | None = None
    _seen: tuple[int, int] = (-1, -1)
    _to_write: list[Callable[[], None]] = field(default_factory=list)

    def counts(self, notebook: NotebookNode) -> CellCounts:
        """How many code cells ended how."""
        done = list(self.states.values())
        code = sum(cell["cell_type"] == "code" for cell in notebook["cells"])
        count = {state: done.count(state) for state in CellState}
        ended = count[CellState.EXECUTED] + count[CellState.FAILED] + count[CellState.INTERRUPTED]
        return CellCounts(
            code=code,
            executed=count[CellState.EXECUTED],
            failed=count[CellState.FAILED],
            interrupted=count[CellState.INTERRUPTED],
            not_run=code - ended,
        )

    async def execute_all(self) -> Intent | None:
        """Execute every cell that is to be; how the run ends when it is not by reaching the last."""
        failure: Intent | None = None
        cells = self.client.nb["cells"]
        executions = sum(will_execute(cell) for cell in cells)
        self.journal.event("notebook", cells=len(cells), executions=executions)
        for index, cell in enumerate(cells):
            if self.ending.asked:
                break
            if not will_execute(cell):
                continue
            failure = await self._execute(index, cell, len(cells))
            if failure is not None:
                break
        self._catch_up()
        return self.ending.intent or failure

    def _catch_up(self) -> None:
        """Write what is left to write, in order."""
        for write in self._to_write:
            write()
        self._to_write.clear()

    async def _execute(self, index: int, cell: NotebookNode, total: int) -> Intent | None:
        started, began_s = utc_now(), steady_s()
        self._to_write.append(lambda: self._begin(index, cell, total, started))
        self.client.begin_cell()
        # Runs when the request is on its way to the kernel, and before any answer is read.
        asyncio.get_running_loop().call_soon(self._catch_up)
        failure: Intent | None = None
        state = CellState.EXECUTED
        try:
            with self._cell_timeout(index):
                await self.client.async_execute_cell(cell, index)
        except CellExecutionError as error:
            failure = self._cell_failed(index, cell, error)
            state = CellState.INTERRUPTED if self.ending.asked else CellState.FAILED
        except DeadKernelError:
            failure = await self._kernel_died(index, cell)
            state = CellState.INTERRUPTED if self.ending.asked else CellState.FAILED
        ended = started + timedelta(seconds=steady_s() - began_s)  # the wall clock may have jumped
        self._to_write.append(lambda: self._finish(index, cell, state, started, ended))
        return failure

    def _begin(self, index: int, cell: NotebookNode, total: int, started: datetime) -> None:
        self._running = (index, cell)
        annotate_cell(cell, CellState.RUNNING, started)
        self.journal.cell_started(index + 1, total, cell["source"], started)

    @contextmanager
    def _cell_timeout(self, index: int) -> Iterator[None]:
        limit = self.request.cell_timeout_s
        if limit is None:
            yield
            return
        intent = Intent(
            state=State.TIMED_OUT,
            reason=Reason.CELL_TIMED_OUT,
            message=f"Cell {index + 1} took longer than the {limit:g} s that a cell may take.",
        )
        handle = asyncio.get_running_loop().call_later(limit, self.ending.ask, intent)
        try:
            yield
        finally:
            handle.cancel()

    def _cell_failed(self, index: int, cell: NotebookNode, error: CellExecutionError) -> Intent:
        if not self.ending.asked:
            self.failed = FailedCell(
                number=index + 1,
                id=cell.get("id"),
                execution_count=cell.get("execution_count"),
                ename=error.ename,
                evalue=error.evalue,
                traceback=_last_traceback(cell) or error.traceback,
            )
        return Intent(
            state=State.FAILED,
            reason=Reason.CELL_FAILED,
            message=f"Cell {index + 1} raised {error.ename}: {_shorten(error.evalue)}".rstrip(": "),
        )

    async def _kernel_died(self, index: int, cell: NotebookNode) -> Intent:
        await wait_for_exit(self.kernel, 1.0)
        how = exit_description(self.kernel)
        if self.ending.asked:
            note = "The kernel was killed: the cell went on after being interrupted."
        else:
            note = f"The kernel died while this cell ran: {how}."
            if "SIGKILL" in how:
                note += f" {why_killed(self.request.memory_bytes)}"
            self.failed = FailedCell(
                number=index + 1,
                id=cell.get("id"),
                execution_count=cell.get("execution_count"),
                ename="DeadKernelError",
                evalue=note,
            )
        text = f"\n[dayfly] {note}\n"
        cell["outputs"].append(NotebookNode(output_type="stream", name="stderr", text=text))
        self.journal.text(text)
        return Intent(state=State.FAILED, reason=Reason.KERNEL_DIED, message=f"In cell {index + 1}: {note}")

    def _finish(
        self, index: int, cell: NotebookNode, state: CellState, started: datetime, ended: datetime
    ) -> None:
        self._running = None
        self.states[index] = state
        finish_streams(cell["outputs"])
        annotate_cell(cell, state, started, ended)
        extra = {"ename": self.failed.ename} if self.failed and state is CellState.FAILED else {}
        self.journal.cell_finished(index + 1, state, ended, (ended - started).total_seconds(), **extra)
        self._save_cell(index, cell)
        if not self.client.has_displays(index):
            cell["outputs"] = []  # they are in the spool; memory stays bounded

    def _save_cell(self, index: int, cell: NotebookNode) -> None:
        try:
            self.file.finish_cell(index, cell)
        except OSError as error:
            self.journal.on_failure(error)

    def save_changed(self) -> None:
        """Write again the cells whose displays later cells have updated."""
        for index in sorted(self.client.changed_cells):
            if self._running is None or index != self._running[0]:
                self._save_cell(index, self.client.nb["cells"][index])
        self.client.changed_cells.clear()

    def take_snapshot(self) -> Snapshot | None:
        """The notebook now, for a checkpoint; None when nothing has come since the last one."""
        self._catch_up()
        mark = (len(self.states), self.journal.sizes()["log"])
        if mark == self._seen and not self.client.changed_cells:
            return None
        self._seen = mark
        self.save_changed()
        return self.file.snapshot(self._running)


def _shorten(text: str) -> str:
    """As much of an error's text as a sentence can bear; the failed cell keeps all of it."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _last_traceback(cell: NotebookNode) -> str:
    for output in reversed(cell.get("outputs", [])):
        if output["output_type"] == "error":
            return "\n".join(output["traceback"])
    return ""


def make_collector(
    notebook: NotebookNode,
    *,
    request: Request,
    journal: Journal,
    file: NotebookFile,
    client: Any,
) -> OutputCollector:
    """Nbclient's NotebookClient for a kernel that is there already."""
    collector = OutputCollector(
        notebook,
        allow_errors=request.allow_errors,
        # The end of a cell is never given up on: nbclient's default of 4 s cuts off output that is
        # still on its way, and sockets that drop nothing always bring it.
        iopub_timeout=24 * 3600,
    )

    def park(text: str) -> Text:
        try:
            return file.park(text)
        except OSError as error:
            journal.on_failure(error)
            return text

    collector.park = park
    collector.on_text = journal.text
    collector.on_truncated = lambda index: journal.warn(
        f"The output of cell {index + 1} was truncated: the run has reached its limit of "
        f"{request.output_limit_bytes:,} bytes."
    )
    collector.limit_bytes = request.output_limit_bytes
    collector.records = Records(warn=journal.warn)
    collector.kc = client
    with suppress(AttributeError):
        collector.log.setLevel("CRITICAL")
    return collector

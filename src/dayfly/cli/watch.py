"""Watching a run to its end, and what the keys and signals of the terminal do meanwhile."""

from __future__ import annotations

import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Protocol

from dayfly.backends.processes import Execution
from dayfly.cli.progress import TAIL_BYTES, Progress
from dayfly.cli.views import View
from dayfly.runner.signals import ENDING
from dayfly.runs import layout
from dayfly.runs.chunks import ChunkReader
from dayfly.runs.follow import EventReader, follow_events
from dayfly.runs.run import Run
from dayfly.runs.state import State

_REFRESH_S = 0.1
_REDRAW_S = 0.5
"""How often the clock of a run elsewhere is drawn again."""


class DetachedError(Exception):
    """The user has stopped watching; the run goes on."""


def watch_process(run: Run, process: Execution, view: View) -> State | None:
    """Watch a run of this command's own until its process has ended; Ctrl-C ends the run."""
    progress = Progress(began=datetime.now(UTC))
    events, log = EventReader(run.store, run.run_id), ChunkReader(run.store, _log_key(run))
    notice = "Interrupting the run and saving what there is; Ctrl-C again to kill it."
    with interrupting(process, view, notice):
        ended = False
        while not ended:
            ended = process.wait(_REFRESH_S)
            for event in events.read():
                progress.take(event)
                view.event(event, progress)
            progress.hear(log.read(newest=TAIL_BYTES))
            if not ended:
                view.refresh(progress)
    if progress.state.ended:
        return progress.state
    state = run.state
    # Our own process has ended: a run that still waits for a runner waits in vain.
    return State.NEVER_STARTED if state is State.REQUESTED else state


class Noticing(Protocol):
    """Whatever tells the person something."""

    def notice(self, text: str) -> None:
        """Tell it."""


@contextmanager
def interrupting(
    process: Execution, view: Noticing, notice: str, *, by: Collection[signal.Signals] = ENDING
) -> Iterator[None]:
    """Pass on what asks this command to end, with a word to the person: what runs saves what there is."""
    asked = 0

    def pass_on(number: int, _: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked == 1 and number == signal.SIGINT:
            view.notice(notice)
        process.interrupt()

    # What whoever started us wants ignored (nohup, a job in the background) stays ignored.
    numbers = [number for number in by if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watch_elsewhere(run: Run, view: View) -> State | None:
    """Watch a run that another process executes, until it has ended. Raises DetachedError on Ctrl-C."""
    request = run.request
    on_machine = request.backend == "ec2"
    progress = Progress()
    if on_machine:  # its time counts from the request: provisioning is part of it
        progress = Progress(state=State.PROVISIONING, began=request.created)
    log = ChunkReader(run.store, _log_key(run))
    pause = threading.Event()

    def hear() -> int:
        before = log.requests
        progress.hear(log.read(newest=TAIL_BYTES))
        return log.requests - before

    def wait(seconds: float) -> None:
        """The picture goes on, whatever the pace at which a store may be asked."""
        view.refresh(progress)
        left_s = max(seconds, _REFRESH_S)
        while left_s > 0:
            pause.wait(min(left_s, _REDRAW_S))
            left_s -= _REDRAW_S
            if left_s > 0:
                view.refresh(progress)

    try:
        for event in follow_events(run.store, run.run_id, wait=wait, on_machine=on_machine, hear=hear):
            progress.take(event)
            view.event(event, progress)
    except KeyboardInterrupt:
        raise DetachedError from None
    return progress.state if progress.state.ended else run.state


def _log_key(run: Run) -> str:
    return layout.run_key(run.run_id, layout.LOG)

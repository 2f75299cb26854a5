"""The processes of a run: of their own sessions, so that they outlive the command that started them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dayfly.runner.signals import defer_signals, hold_signals
from dayfly.runs import layout

_left: set[int] = set()
"""Process ids of children that go on without us, to be reaped once they have ended."""


class Execution(Protocol):
    """A run that a backend has started, for whoever started it."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing of the run is at work; True when that is so."""

    def leave(self) -> None:
        """Go on without it; it goes on without us."""

    def interrupt(self) -> None:
        """Ask for the end of the run; asking again cuts its grace short."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """A run's processes, the runner first.

    `ended` is a file descriptor that reads end-of-file when all of them have.
    """

    processes: tuple[subprocess.Popen[bytes], ...]
    ended: int

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the run's processes have ended; True when they have."""
        poll = select.poll()
        poll.register(self.ended)
        if not poll.poll(None if timeout_s is None else timeout_s * 1000):
            return False
        os.close(self.ended)
        for process in self.processes:
            process.wait()
        return True

    def leave(self) -> None:
        """Go on without the processes; they go on without us."""
        os.close(self.ended)
        _let_go(self.processes)

    def interrupt(self) -> None:
        """Ask the runner to end the run; asking again cuts its grace short."""
        with suppress(ProcessLookupError):
            self.processes[0].send_signal(signal.SIGINT)


def start_processes(
    commands: Sequence[Sequence[str]],
    directory: Path,
    environ: Mapping[str, str],
    *,
    log: str = layout.RUNNER_LOG,
    held: bool = False,
) -> Processes:
    """Start them all, or none; what they print themselves goes to the file `log` in the directory.

    `held`: they begin with the signals that end them blocked, and take these when they can act on them.
    Whoever interrupts this has nothing yet to interrupt, so what was started is interrupted here.
    """
    started: Processes | None = None
    try:
        with defer_signals(), hold_signals() if held else nullcontext():
            started = _start_all(commands, directory, environ, log)
    except KeyboardInterrupt:
        if started is not None:
            started.interrupt()
            started.leave()
        raise
    return started


def _start_all(
    commands: Sequence[Sequence[str]], directory: Path, environ: Mapping[str, str], log: str
) -> Processes:
    _reap_left()
    read_end, write_end = os.pipe()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.extend(_start(command, directory, environ, write_end, log) for command in commands)
    except BaseException:
        os.close(read_end)
        for process in processes:  # nobody will watch them
            process.send_signal(signal.SIGINT)
        _let_go(processes)
        raise
    finally:
        os.close(write_end)
    return Processes(processes=tuple(processes), ended=read_end)


def _let_go(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            _left.add(process.pid)
            process.returncode = 0  # they are meant to go on: subprocess need not warn of it


def _reap_left() -> None:
    """Let go of children that have ended since they were left."""
    for pid in list(_left):
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        _left.discard(pid)


def _start(
    command: Sequence[str], directory: Path, environ: Mapping[str, str], alive: int, log_name: str
) -> subprocess.Popen[bytes]:
    """A process in a session of its own; it holds `alive` open as long as it lives."""
    with (directory / log_name).open("ab") as log:
        return subprocess.Popen(
            list(command),
            cwd=directory,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(alive,),
            start_new_session=True,
        )

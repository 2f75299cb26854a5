"""Runs on this machine: processes of their own that outlive the command that started them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dayfly.runner.kernelspecs import home_directory
from dayfly.runner.signals import hold_signals
from dayfly.runs import layout
from dayfly.runs.request import Request
from dayfly.runs.store import Store

_left: set[int] = set()
"""Process ids of children that go on without us, to be reaped once they have ended."""


@dataclass(frozen=True, kw_only=True)
class LocalProcess:
    """A run's processes, the runner first, for whoever started it.

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
        for process in self.processes:
            if process.poll() is None:
                _left.add(process.pid)
                process.returncode = 0  # they are meant to go on: subprocess need not warn of it

    def interrupt(self) -> None:
        """Ask the runner to end the run; asking again cuts its grace short."""
        with suppress(ProcessLookupError):
            self.processes[0].send_signal(signal.SIGINT)


def start_local(store: Store, request: Request, content: bytes, environ: Mapping[str, str]) -> LocalProcess:
    """Start the runner for a run that is in the store. Returns at once.

    With a store elsewhere, the run works in a directory in the user's cache and a keeper carries it.
    """
    _reap_left()
    directory = store.path(layout.run_key(request.run_id, ""))
    read_end, write_end = os.pipe()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        if directory is not None:
            commands = [["dayfly.backends.local_process", str(directory), store.url]]
        else:
            directory = _scratch_directory(request, content, environ)
            commands = [
                ["dayfly.runner", str(directory)],
                ["dayfly.keeper", str(directory), store.url],
            ]
        with hold_signals():  # the processes inherit this, and take signals when they can act on them
            processes.extend(_start(command, directory, environ, write_end) for command in commands)
    except BaseException:
        os.close(read_end)
        for process in processes:  # nobody will watch them
            process.send_signal(signal.SIGINT)
        raise
    finally:
        os.close(write_end)
    return LocalProcess(processes=tuple(processes), ended=read_end)


def _reap_left() -> None:
    """Let go of children that have ended since they were left."""
    for pid in list(_left):
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        _left.discard(pid)


def _start(
    arguments: list[str], directory: Path, environ: Mapping[str, str], alive: int
) -> subprocess.Popen[bytes]:
    """A process in a session of its own; it holds `alive` open as long as it lives."""
    with (directory / layout.RUNNER_LOG).open("ab") as log:
        return subprocess.Popen(
            # -P: a module of the user's beside the run must not stand in for one of ours
            [sys.executable, "-P", "-m", *arguments],
            cwd=directory,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(alive,),
            start_new_session=True,
        )


def _scratch_directory(request: Request, content: bytes, environ: Mapping[str, str]) -> Path:
    """Where a run works whose store is elsewhere."""
    base = Path(environ.get("XDG_CACHE_HOME") or home_directory(environ) / ".cache")
    directory = base / "dayfly" / "runs" / request.run_id
    directory.mkdir(parents=True)
    (directory / layout.REQUEST).write_bytes(request.to_bytes())
    (directory / layout.INPUT).write_bytes(content)
    return directory

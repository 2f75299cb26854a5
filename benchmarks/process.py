"""One command as a whole process, under a pseudo-terminal, with its time and its memory."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory import Footprint, find_descendants, watch_memory

COLUMNS, LINES = 120, 40
TIMEOUT_S = 1800.0
_KEPT_OUTPUT_BYTES = 20_000
_LINGER_S = 15.0
_PR_SET_CHILD_SUBREAPER = 36


class CommandError(Exception):
    """A command did not do what it was run for; the text shows what it printed."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run, where, and with which environment (all of it: nothing is inherited)."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run of one command: seconds from start to end, the highest memory, the last of what it printed."""

    wall_s: float
    peak: Footprint
    printed: str


def adopt_orphans() -> None:
    """Make processes whose parent has ended our children, so that they are seen, counted and reaped."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def run_measured(command: Command, timeout_s: float = TIMEOUT_S) -> Sample:
    """Run a command to its end. Raises CommandError when it fails, hangs, or leaves processes behind."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        with watch_memory(os.getpid()) as peak:
            started = time.perf_counter()
            process = subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                env=dict(command.env),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
            os.close(theirs)
            theirs = -1
            try:
                printed = _drain_until_end(ours, process.pid, started + timeout_s)
                wall_s = time.perf_counter() - started
            finally:
                # Whatever went wrong, nothing that we started stays.
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                left = _reap_orphans()
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    text = printed.decode(errors="replace")
    if process.returncode != 0:
        raise CommandError(f"{' '.join(command.argv)} ended with {process.returncode}:\n{text}")
    if left:
        raise CommandError(f"{' '.join(command.argv)} left processes behind: {left}\n{text}")
    return Sample(wall_s=wall_s, peak=peak[0], printed=text)


def _drain_until_end(terminal: int, pid: int, deadline: float) -> bytes:
    """Read what the process prints until it ends; return the last of it."""
    printed = b""
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(terminal, select.POLLIN)
        poll.register(ended, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll(max(0.0, deadline - time.perf_counter()) * 1000)]
            if not ready:
                text = printed.decode(errors="replace")
                raise CommandError(f"{_name(pid)} was not done in time. It printed:\n{text}")
            if terminal in ready:
                try:
                    printed = (printed + os.read(terminal, 1 << 16))[-_KEPT_OUTPUT_BYTES:]
                except OSError:  # EIO: every process has closed its side
                    poll.unregister(terminal)
            elif ended in ready:
                return printed
    finally:
        os.close(ended)


def _reap_orphans() -> list[str]:
    """Wait for processes that outlive the command; kill and name those that stay too long."""
    deadline = time.monotonic() + _LINGER_S
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        remaining = list(find_descendants(os.getpid()))
        if not remaining:
            return []
        if time.monotonic() > deadline:
            names = [_name(pid) for pid in remaining]
            for pid in remaining:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return names
        time.sleep(0.01)


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return str(pid)

"""A process of one thread that is forked for each request: the warm parent of kernels, and of runners.

Standard library only, and no other module of dayfly: `kernel_server.py` is run where there is no dayfly.

A connection to the server's socket is a process. Its request comes in (four bytes of length, then JSON);
out go lines of JSON: the process id, and later the exit code. When the connection ends, so does the process.

From then on the connection is the process's own as well: it may say that it is done, with a code, and take
another request (see `take_another`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
from typing import Any

LENGTH = struct.Struct("!I")


def _decode(received: bytes) -> Any:
    """A request, when all of it has come."""
    if len(received) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack_from(received)
    return json.loads(received[LENGTH.size :]) if len(received) >= LENGTH.size + length else None


def _tell(connection: socket.socket, **message: Any) -> bool:
    """Send a line to whoever is connected; whether anybody is."""
    try:
        connection.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        return False
    return True


def take_another(connection: socket.socket, done: int) -> Any:
    """In a forked process: say that what was asked for is done, with this code, and wait for another request.

    Returns None when nobody will ask.
    """
    _tell(connection, done=done)
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    received = b""
    while (request := _decode(received)) is None:
        poll.poll()
        try:
            data = connection.recv(1 << 16)
        except OSError:
            return None
        if not data:
            return None
        received += data
    return request


def accept(connection: socket.socket) -> bool:
    """In a forked process: say that another request is taken; False when nobody waits for that any more."""
    return _tell(connection, pid=os.getpid())


class _Forked:
    """A connection, and the process that it stands for once it has asked for one."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.received = connection, b""
        self.pid: int | None = None
        self.told = False


class Server:
    """Forks until its standard input ends and nothing is left.

    In each child, `run` returns its request, and `own` is its connection.
    """

    own: socket.socket

    def __init__(self, listener: socket.socket, end_by: int = signal.SIGKILL) -> None:
        """`end_by` is what a process is sent when its connection ends; with SIGKILL, its group as well."""
        self.listener, self.end_by = listener, end_by
        self.processes: dict[int, _Forked] = {}
        self.ending: list[int] = []
        self.wake, wake = os.pipe()
        for end in (self.wake, wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.wake_end = wake
        self.poll = select.poll()
        for descriptor in (0, self.wake, listener.fileno()):
            self.poll.register(descriptor, select.POLLIN)
        self.wanted = True

    def run(self) -> Any:
        """Serve; returns None at the end, and in a child what was asked for."""
        while self.wanted or self.processes or self.ending:
            for descriptor, _ in self.poll.poll():
                if descriptor == 0:
                    self.wanted = False
                    self.poll.unregister(0)
                elif descriptor == self.wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.wake, 4096)
                    self.look()
                elif descriptor == self.listener.fileno():
                    connection, _ = self.listener.accept()
                    connection.setblocking(False)  # noqa: FBT003 -- its only parameter
                    self.processes[connection.fileno()] = _Forked(connection)
                    self.poll.register(connection, select.POLLIN)
                elif descriptor in self.processes:
                    request = self.hear(self.processes[descriptor])
                    if request is not None:
                        return request
        return None

    def look(self) -> None:
        """Tell who has ended. A process stays a zombie, and its number its own, until its connection ends."""
        for process in self.processes.values():
            if process.pid is None or process.told:
                continue
            seen = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if seen is not None:
                process.told = True
                code = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
                _tell(process.connection, exit=code)
        self.ending = [pid for pid in self.ending if os.waitpid(pid, os.WNOHANG) == (0, 0)]

    def hear(self, process: _Forked) -> Any:
        """Take what came; in the child that is forked for a whole request, its request."""
        if process.pid is not None:  # what else comes is for the process: we hear of the end alone
            self.end(process)
            return None
        try:
            data = process.connection.recv(1 << 16)
        except BlockingIOError:  # the news was of another that had this number
            return None
        except OSError:
            data = b""
        if not data:
            self.end(process)
            return None
        process.received += data
        request = _decode(process.received)
        return None if request is None else self.fork(process, request)

    def fork(self, process: _Forked, request: Any) -> Any:
        """Start a process; in it, its request is returned."""
        try:
            process.pid = os.fork()
        except OSError as error:
            _tell(process.connection, error=str(error))
            return None
        if process.pid == 0:
            self.leave(process)
            return request
        self.poll.modify(process.connection, select.POLLRDHUP)
        _tell(process.connection, pid=process.pid)
        return None

    def leave(self, process: _Forked) -> None:
        """In the child: nothing of the server stays open, but the connection of `process`."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.own = process.connection
        for each in self.processes.values():
            if each is not process:
                each.connection.close()
        self.listener.close()
        os.close(self.wake)
        os.close(self.wake_end)

    def end(self, process: _Forked) -> None:
        """Let go of a process, and leave nothing of it."""
        self.poll.unregister(process.connection)
        del self.processes[process.connection.fileno()]
        process.connection.close()
        if process.pid is not None:
            # The process itself first: it may not have a group of its own yet.
            for kill in (os.kill, os.killpg)[: 2 if self.end_by is signal.SIGKILL else 1]:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(process.pid, self.end_by)
            self.ending.append(process.pid)
            self.look()

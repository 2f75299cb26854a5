"""Kernels that a warm server forks: `kernel_server.py`, run by the Python that the kernels are to have."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dayfly.errors import UsageError
from dayfly.runner.fork_server import LENGTH
from dayfly.runner.kernelspecs import KernelSpec
from dayfly.runner.launch import KernelProcess, kernel_arguments, kernel_variables, start_process
from dayfly.runner.records import FOLDER

_LAUNCHERS = {"ipykernel_launcher", "ipykernel"}
_READY_S = 120.0
_ANSWER_S = 30.0


class NotWarmError(Exception):
    """Kernels cannot be forked here; the text says why, for a warning."""


class Forked:
    """A process that a warm server has forked for us; it ends with our connection to the server."""

    def __init__(self, connection: socket.socket, request: Mapping[str, Any]) -> None:
        """Raises OSError when the server cannot fork, or is not there any more."""
        self._connection = connection
        self._received = b""
        self._code: int | None = None
        self._done: int | None = None
        self.ask(request)

    def ask(self, request: Mapping[str, Any]) -> None:
        """Ask for what it is to do, and again when it is `done`. Raises OSError when there is none."""
        self._done = None
        content = json.dumps(request).encode()
        self._connection.settimeout(_ANSWER_S)
        self._connection.sendall(LENGTH.pack(len(content)) + content)
        while "done" in (answer := self._line()):  # told before the server came to tell the number
            self._done = answer["done"]
        if "pid" not in answer:
            raise OSError(answer.get("error", "the process has ended"))
        self._pid = int(answer["pid"])
        self._connection.setblocking(False)  # noqa: FBT003 -- its only parameter

    @property
    def pid(self) -> int:
        """Its number; no other's until `wait` has returned."""
        return self._pid

    @property
    def done(self) -> int | None:
        """The code of what it was asked for, when it waits to be asked again; see `poll`."""
        return self._done

    def fileno(self) -> int:
        """What becomes readable when it has ended, or is done."""
        return self._connection.fileno()

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._received:
            data = self._connection.recv(4096)
            if not data:
                raise ConnectionResetError("the server has ended")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    def poll(self) -> int | None:
        """The exit code; None while it runs. A process whose server has died was killed with it."""
        try:
            while self._code is None:
                told = self._line()
                self._code, self._done = told.get("exit"), told.get("done")
        except BlockingIOError:
            return None
        except OSError:
            self._code = -9
        return self._code

    def wait(self) -> int:
        """Wait for its end and let go of it: what it has left behind in its group is killed."""
        while (code := self.poll()) is None:
            ready = select.poll()
            ready.register(self._connection, select.POLLIN)
            ready.poll()
        self._connection.close()
        return code

    def kill(self) -> None:
        """Have it end at once, whatever it does, and do not wait for that."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._connection.close()


@dataclass(frozen=True, kw_only=True)
class WarmKernels:
    """Where the kernels of one kernelspec are forked."""

    socket: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    def start(
        self, spec: KernelSpec, file: Path, cwd: Path, environ: Mapping[str, str], log: IO[bytes]
    ) -> KernelProcess:
        """Have a kernel forked; started as usual when it is another's or the server does not answer."""
        if spec.argv != self.argv or dict(spec.env) != dict(self.env):
            return start_process(spec, file, cwd, environ, log)
        arguments = kernel_arguments(spec, file)
        request = {
            "arguments": arguments[_module_at(arguments) + 1 :],
            "environ": dict(environ),
            "cwd": str(cwd),
            "log": log.name,
            "path": [str(FOLDER)],
        }
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self.socket)
            return Forked(connection, request)
        except OSError:
            connection.close()
            return start_process(spec, file, cwd, environ, log)


def _module_at(argv: Sequence[str]) -> int:
    """Where the command line names ipykernel: what precedes are options of Python's."""
    for place, argument in enumerate(argv[1:-1], 1):
        if argument == "-m":
            return place + 1 if argv[place + 1] in _LAUNCHERS else -1
        if not argument.startswith("-"):
            break
    return -1


@contextmanager
def warm_kernels(
    spec: KernelSpec,
    modules: Sequence[str],
    *,
    directory: Path,
    environ: Mapping[str, str],
    log: IO[bytes],
) -> Iterator[Warming]:
    """Begin to warm a server up for the kernels of `spec`; it ends with the `with` block.

    `directory` is the user's alone, and short: the server's socket is made in it. Kernels that still run
    live on until their runners have ended. Raises NotWarmError for a kernel that is not ipykernel's.
    """
    place = _module_at(spec.argv)
    if place < 0 or not sys.platform.startswith("linux"):
        raise NotWarmError(f"the kernel {spec.name!r} cannot be forked")
    path = str(directory / "kernels")
    command = [*spec.argv[: place - 1], str(Path(__file__).with_name("kernel_server.py")), path, *modules]
    try:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**kernel_variables(spec, environ), "JPY_PARENT_PID": str(os.getpid())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    except OSError as error:
        raise NotWarmError(f"{command[0]} cannot be started: {error.strerror}") from error
    try:
        yield Warming(process=process, kernels=WarmKernels(socket=path, argv=spec.argv, env=spec.env))
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(0)  # it may have kernels left, and goes when they do


@dataclass(frozen=True, kw_only=True)
class Warming:
    """A server that is importing its modules, or has."""

    process: subprocess.Popen[bytes]
    kernels: WarmKernels

    def wait(self, timeout_s: float = _READY_S) -> WarmKernels:
        """Wait until it can fork.

        Raises UsageError for a module that must not be preloaded, NotWarmError for any other reason.
        """
        answers = self.process.stdout
        if answers is None:
            raise NotWarmError("it cannot be heard")
        ready = select.poll()
        ready.register(answers, select.POLLIN)
        if not ready.poll(timeout_s * 1000):
            self.process.kill()
            raise NotWarmError(f"the modules to preload were not imported within {timeout_s:g} s")
        answer = json.loads(answers.readline() or b'{"failed": "it has ended"}')
        if "refused" in answer:
            raise UsageError(
                f"A module cannot be preloaded: {answer['refused']}.",
                why="Each kernel must do that itself: outputs would differ from those of single runs.",
                hint="Take it out of preload under [sweep] in dayfly.toml, and each kernel imports it.",
            )
        if "ready" not in answer:
            raise NotWarmError(str(answer.get("failed")))
        return self.kernels

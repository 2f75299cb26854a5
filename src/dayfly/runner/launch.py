"""Starting the kernel process, before anything heavy is imported: it boots while we do.

Standard library only. The connection file follows
https://jupyter-client.readthedocs.io/en/latest/kernels.html#connection-files; sockets are
Unix-domain sockets in a directory that only the user can enter.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from dayfly.errors import KernelMissingError
from dayfly.runner.clock import steady_s
from dayfly.runner.kernelspecs import KernelSpec
from dayfly.runner.signals import release_signals

_QUIET = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
"""Without it, every Python kernel begins by printing a warning about its debugger."""
_LONGEST_BASE = 80
"""macOS allows 103 bytes in the name of a Unix socket, Linux 107; ours add 20 to the directory's."""
_SHORT_BASE = "/tmp"  # noqa: S108 -- mkdtemp makes a directory in it that only the user can enter
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


class KernelProcess(Protocol):
    """A process that leads a session of its own: a child of ours, or of a warm server (see `warm`)."""

    @property
    def pid(self) -> int:
        """Its number, which is no other's until it was waited for."""

    def poll(self) -> int | None:
        """The exit code, as subprocess has it; None while it runs."""

    def wait(self) -> int:
        """Wait for its end, and let go of it."""


@dataclass(frozen=True, kw_only=True)
class LaunchedKernel:
    """A kernel process that is booting, or more, and how to connect to it."""

    spec: KernelSpec
    process: KernelProcess
    connection: Mapping[str, Any]
    launched_s: float = field(default_factory=steady_s)
    """When, on the steady clock: the run's time counts from here."""

    @property
    def finds_dayfly(self) -> bool:
        """Whether it has `dayfly` on its path already: one that was forked, and not started."""
        return not isinstance(self.process, subprocess.Popen)

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def signal_group(self, number: int) -> None:
        """Signal the kernel and what it started, unless it moved to a session of its own."""
        with suppress(ProcessLookupError, PermissionError):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:  # one that was forked just now has no group of its own yet
                if self.alive():
                    os.kill(self.process.pid, number)


def start_process(
    spec: KernelSpec, file: Path, cwd: Path, environ: Mapping[str, str], log: IO[bytes]
) -> KernelProcess:
    """Start the kernel of `spec` with the connection file; raises KernelMissingError."""
    argv = kernel_arguments(spec, file)
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env={**environ, "JPY_PARENT_PID": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # The runner has one thread when it starts its kernel.
            preexec_fn=_prepare_kernel,  # noqa: PLW1509
        )
    except OSError as error:
        raise KernelMissingError(
            f"The kernel {spec.name!r} cannot be started.",
            why=f"{argv[0]}: {error.strerror or error}.",
            hint="Look at the kernel's entry in: jupyter kernelspec list",
        ) from error


Start = Callable[[KernelSpec, Path, Path, Mapping[str, str], IO[bytes]], KernelProcess]
"""How a kernel becomes a process: see `start_process`."""


@contextmanager
def launch_kernel(  # noqa: PLR0913 -- what a process is made of
    spec: KernelSpec,
    *,
    cwd: Path,
    environ: Mapping[str, str],
    transport: str,
    log: IO[bytes],
    start: Start = start_process,
) -> Iterator[LaunchedKernel]:
    """Start the kernel; at the end nothing of it is left, whatever happened.

    `log` receives what the process itself writes. Raises KernelMissingError when the kernelspec's
    program cannot be started.
    """
    directory = make_private_directory()
    try:
        connection = _connection(directory, transport, spec.name)
        file = directory / "connection.json"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            json.dump(connection, stream)
        process = start(spec, file, cwd, kernel_variables(spec, environ), log)
        kernel = LaunchedKernel(spec=spec, process=process, connection=connection)
        try:
            yield kernel
        finally:
            kernel.signal_group(signal.SIGKILL)
            process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def make_private_directory() -> Path:
    """A directory of the user's alone whose sockets have names that the system can hold."""
    short = len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_BASE
    return Path(tempfile.mkdtemp(prefix="dayfly-", dir=None if short else _SHORT_BASE))


def _connection(directory: Path, transport: str, kernel_name: str) -> dict[str, Any]:
    common = {
        "transport": transport,
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": kernel_name,
    }
    if transport == "ipc":
        ports = dict(zip(_PORTS, range(1, 6), strict=True))
        return {**common, "ip": str(directory / "k"), **ports}
    return {**common, "ip": "127.0.0.1", **_free_ports()}


def _free_ports() -> dict[str, int]:
    """Five TCP ports that were free a moment ago."""
    sockets = [socket.socket() for _ in _PORTS]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(_PORTS, sockets, strict=True)}
    finally:
        for each in sockets:
            each.close()


def kernel_variables(spec: KernelSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a kernel whose run has `environ`."""
    return {**_QUIET, **environ, **spec.env}


def kernel_arguments(spec: KernelSpec, file: Path) -> list[str]:
    """The kernel's command line, with its connection file."""
    values = {"connection_file": str(file), "resource_dir": str(spec.directory or "")}
    return [_substitute(argument, values) for argument in spec.argv] + _ipython_arguments(spec)


def _substitute(argument: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        argument = argument.replace("{" + name + "}", value)
    return argument


def _ipython_arguments(spec: KernelSpec) -> list[str]:
    """Keep an IPython kernel's history in memory, written once: runs are no interactive sessions."""
    if not spec.is_ipython:
        return []
    return ["--HistoryManager.hist_file=:memory:", "--HistoryManager.db_cache_size=1000"]


def _prepare_kernel() -> None:
    """In the process that becomes the kernel: it takes signals at once, and dies with the runner."""
    release_signals()
    if sys.platform == "linux":
        _die_with_parent()
        _die_first()


def _die_first() -> None:
    """When memory runs out, let the kernel die and not the runner, who can tell of it (proc(5))."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 -- a fork
        file.write("500")


def _die_with_parent() -> None:
    """Have Linux kill the kernel when the runner dies, even one that is stuck in C code.

    prctl(2), PR_SET_PDEATHSIG. ipykernel's own watch of its parent needs the GIL.
    """
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)

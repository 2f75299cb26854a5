"""JupyterLab in the project's own Python environment, without Docker."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dayfly.backends.lab import STOP_S, lab_url
from dayfly.errors import KernelMissingError, UsageError
from dayfly.runs.request import PythonEnvironment

_LOOKUP_S = 60
_LOG_BYTES = 4000


@dataclass(frozen=True, kw_only=True)
class LocalLab:
    """A JupyterLab that is a process of this machine; `process` is None for one that was found."""

    port: int
    token: str = field(repr=False)
    pid: int
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Its address with the token."""
        return lab_url(self.port, self.token)

    def runs(self) -> bool:
        """Whether the process runs."""
        if self.process is not None:
            return self.process.poll() is None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def wait(self) -> None:
        """Wait until the process ends."""
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        """End the server and its kernels within bounds."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        if self.process is None:
            return
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()

    def last_words(self) -> str:
        """The end of its log."""
        try:
            return self.log.read_bytes()[-_LOG_BYTES:].decode("utf-8", "replace").strip() if self.log else ""
        except OSError:
            return ""


def find_local_lab(python: PythonEnvironment, root: Path, environ: Mapping[str, str]) -> LocalLab | None:
    """A JupyterLab that this user runs for this very folder already."""
    command = [python.executable, "-m", "jupyter_server", "list", "--jsonlist"]
    try:
        done = subprocess.run(
            command, env=dict(environ), capture_output=True, timeout=_LOOKUP_S, check=False, text=True
        )
        servers = json.loads(done.stdout or "[]")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    for server in servers:
        if Path(server["root_dir"]).resolve() == root.resolve():
            return LocalLab(port=server["port"], token=server["token"], pid=server["pid"])
    return None


def start_local_lab(
    python: PythonEnvironment, root: Path, environ: Mapping[str, str], *, port: int, log: Path
) -> LocalLab:
    """Start JupyterLab for this folder. Returns before it answers. Raises KernelMissingError without one."""
    probe = subprocess.run(
        [python.executable, "-c", "import jupyterlab"],
        env=dict(environ),
        capture_output=True,
        timeout=_LOOKUP_S,
        check=False,
        text=True,
    )
    if probe.returncode != 0:
        raise KernelMissingError(
            f"There is no JupyterLab in {python.prefix} ({python.source}).",
            why=probe.stderr.strip().splitlines()[-1] if probe.stderr.strip() else "",
            hint=f"Install it with: {python.executable} -m pip install jupyterlab ipykernel\n"
            "or use the project's image: dayfly lab",
        )
    token = secrets.token_urlsafe(24)
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    root_options = ["--allow-root"] if os.geteuid() == 0 else []
    try:
        with log.open("wb") as target:
            process = subprocess.Popen(
                [
                    *(python.executable, "-m", "jupyterlab", *options, *root_options),
                    f"--ServerApp.root_dir={root.resolve()}",
                ],
                cwd=root,
                env={**environ, "JUPYTER_TOKEN": token},
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                start_new_session=True,  # a Ctrl-C is ours alone
            )
    except OSError as error:
        raise UsageError("JupyterLab cannot be started.", why=str(error)) from error
    return LocalLab(port=port, token=token, pid=process.pid, log=log, process=process)

"""A way to a port of a machine that is open to nobody: forwarded by Systems Manager, or by SSH.

The programs are the user's own (`aws` with its session-manager-plugin, or `ssh`): they know credentials, keys
and proxies. What they write goes to a file, whose end is told when there is no way through.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dayfly.aws.session import CLI_PAGE, PLUGIN, PLUGIN_PAGE, Target, ssh_argv, ssm_argv
from dayfly.errors import AwsError, UsageError

_DOCUMENT = "AWS-StartPortForwardingSession"
_LOOPBACK = "127.0.0.1"
_OPEN_S = 90.0
_LOOK_S = 0.1
_LOOKS = 20
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0
"""A tunnel that held for so long dropped for a new reason: it is opened again at once."""
_STOP_S = 5.0
_TOLD_BYTES = 2000


def ssm_command(target: Target, *, local_port: int, remote_port: int) -> list[str]:
    """The session of Systems Manager that forwards a local port to one of the machine's."""
    ports = {"portNumber": [str(remote_port)], "localPortNumber": [str(local_port)]}
    return [*ssm_argv(target), "--document-name", _DOCUMENT, "--parameters", json.dumps(ports)]


def ssh_command(
    target: Target, *, local_port: int, remote_port: int, known_hosts: Path, identity: Path | None = None
) -> list[str]:
    """The `ssh` that forwards a local port to one of the machine's. It asks nothing: it has no terminal."""
    options = ("BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=15", "ServerAliveCountMax=3")
    said = [word for option in options for word in ("-o", option)]
    forwarded = f"{_LOOPBACK}:{local_port}:{_LOOPBACK}:{remote_port}"
    program, *rest = ssh_argv(target, known_hosts=known_hosts, identity=identity)
    return [program, "-N", "-T", *said, "-L", forwarded, *rest]


def check_programs(*, ssh: bool, path: str | None = None) -> None:
    """Raise UsageError when a tunnel's program is missing: before there is a machine that costs money."""
    if ssh:
        if shutil.which("ssh", path=path) is None:
            raise UsageError("There is no ssh command.", hint="Install OpenSSH's client, or leave out --ssh.")
        return
    if shutil.which("aws", path=path) is None:
        raise UsageError(
            "There is no aws command.",
            why="The tunnel to the machine is one of its sessions.",
            hint=f"Install the AWS CLI: {CLI_PAGE}\nor reach the machine by SSH: --ssh auto",
        )
    if shutil.which(PLUGIN, path=path) is None:
        raise UsageError(
            f"The AWS CLI has no {PLUGIN}.",
            why="The tunnel to the machine is a session of AWS Systems Manager.",
            hint=f"Install it: {PLUGIN_PAGE}\nor reach the machine by SSH: --ssh auto",
        )


class Tunnel:
    """A process that forwards a port, and is begun again when it ends. Close it, whatever happens."""

    def __init__(  # noqa: PLR0913 -- the world it lives in
        self,
        command: Sequence[str],
        *,
        port: int,
        log: Path,
        environ: Mapping[str, str],
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._command = list(command)
        self._port = port
        self._log = log
        self._environ = dict(environ)
        self._now = now
        self._sleep = sleep
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._again_at = 0.0

    def open(self, *, within_s: float = _OPEN_S) -> None:
        """Return when something answers at the local port. Raises AwsError when nothing does in time.

        A machine that has just booted takes a while until it can be reached, so a process that ends is begun
        again.
        """
        deadline = self._now() + within_s
        self._begin()
        while not self._connects():
            if self._now() > deadline:
                raise AwsError(
                    f"The machine could not be reached within {within_s:g} s.",
                    why=self.last_words(),
                    hint="The machine goes on; see it with: dayfly machines",
                    code="NoTunnel",
                )
            self.tend()
            self._sleep(_LOOK_S)

    def tend(self) -> bool:
        """Begin the process again when it has ended; True when it was.

        At once when it had held for a minute, and after longer and longer pauses when it had not.
        """
        if self._process is None or self._process.poll() is None:
            return False
        now = self._now()
        if self._again_at <= self._begun:  # it has just been noticed
            if now - self._begun >= _STEADY_S:
                self._pause_s = _FIRST_PAUSE_S
                self._again_at = now
            else:
                self._again_at = now + self._pause_s
                self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if now < self._again_at:
            return False
        self._begin()
        return True

    def close(self) -> None:
        """End the process and what it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        _signal(process, signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _signal(process, signal.SIGKILL)  # the plugin, should it have outlived the AWS CLI
            process.wait()
        for _ in range(_LOOKS):  # what was killed lets go of the port a moment later
            if not self._connects():
                return
            self._sleep(_LOOK_S)

    def last_words(self) -> str:
        """The end of what the program wrote."""
        try:
            return self._log.read_bytes()[-_TOLD_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def _begin(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is ours; and it is ended with all that it starts
            )
        self._begun = self._again_at = self._now()

    def _connects(self) -> bool:
        try:
            with socket.create_connection((_LOOPBACK, self._port), timeout=1):
                return True
        except OSError:
            return False


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)

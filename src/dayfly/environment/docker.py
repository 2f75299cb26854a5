"""The Docker engine, through the `docker` command: it alone knows contexts, credentials and BuildKit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dayfly.errors import EngineError

_LOOKUP_S = 60.0
_NO_ENGINE = ("Cannot connect to the Docker daemon", "error during connect", "permission denied while trying")


@dataclass(frozen=True, kw_only=True)
class Docker:
    """A Docker engine, as the `docker` on PATH reaches it with these environment variables."""

    environ: Mapping[str, str] = field(repr=False)
    program: str = "docker"

    def run(self, arguments: Sequence[str], *, timeout_s: float | None = _LOOKUP_S) -> str:
        """Run a docker command and return its standard output. Raises EngineError when it fails."""
        done = self.try_run(arguments, timeout_s=timeout_s)
        if done.returncode != 0:
            raise self.error(arguments, done.stderr)
        return done.stdout

    def try_run(
        self, arguments: Sequence[str], *, timeout_s: float | None = _LOOKUP_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a docker command, however it ends. Raises EngineError when no engine answers."""
        try:
            done = subprocess.run(
                [self.program, *arguments],
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError as error:
            raise self._missing() from error
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                "The Docker engine does not answer.",
                why=f"`docker {arguments[0]}` took more than {timeout_s:g} s.",
                hint="Look at it with: docker info",
            ) from error
        if done.returncode != 0 and any(words in done.stderr for words in _NO_ENGINE):
            raise EngineError(
                "The Docker engine cannot be reached.",
                why=done.stderr.strip(),
                hint="Start it (for instance: sudo systemctl start docker), or run it without: --on local",
            )
        return done

    def stream(
        self,
        arguments: Sequence[str],
        echo: Callable[[str], None],
        *,
        environ: Mapping[str, str] | None = None,
    ) -> int:
        """Run a docker command, handing on line by line what it says; returns its exit code.

        The command ends with us: what ends this, ends it.
        """
        with self._start(arguments, environ or {}) as process:
            try:
                for line in process.stdout or ():
                    echo(line.rstrip("\r\n"))
            except BaseException:
                process.terminate()
                process.wait()
                raise
            return process.wait()

    def _start(self, arguments: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                [self.program, *arguments],
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError as error:
            raise self._missing() from error

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        """What `docker KIND inspect NAME` says; None when there is no such thing."""
        done = self.try_run([kind, "inspect", name])
        if done.returncode == 0:
            found = json.loads(done.stdout)
            return dict(found[0]) if found else None
        if "no such" in done.stderr.lower() or "not found" in done.stderr.lower():
            return None
        raise self.error([kind, "inspect", name], done.stderr)

    @staticmethod
    def _missing() -> EngineError:
        return EngineError(
            "There is no docker command.",
            why="dayfly talks to the Docker engine through it, and it is not on PATH.",
            hint="Install Docker (https://docs.docker.com/engine/install), or run it without: --on local",
        )

    @staticmethod
    def error(arguments: Sequence[str], stderr: str) -> EngineError:
        """The error of a docker command that failed with these words."""
        return EngineError(f"`docker {' '.join(arguments[:2])}` failed.", why=stderr.strip()[-2000:])

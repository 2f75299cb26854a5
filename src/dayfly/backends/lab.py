"""JupyterLab in a container of the project's image, with the project mounted: its files stay the user's."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Protocol

from dayfly.backends.docker import CHECKOUT, UNPRIVILEGED, limit_arguments, mount
from dayfly.backends.lab_user import LabUser
from dayfly.environment.docker import Docker
from dayfly.environment.facts import ImageFacts
from dayfly.errors import DayflyError, EngineError, ImageError, RunConflictError, UsageError
from dayfly.project.settings import Settings

LABEL = "dev.dayfly.lab"
PORT = 8888
_START_S = 300.0
"""How long an engine that is busy, with building perhaps, may take to start the container."""
READY_S = 120.0
STOP_S = 10
_HOME = "/dayfly/home"
_TOKEN = "JUPYTER_TOKEN"  # noqa: S105 -- the name of the variable
_PORT_TAKEN = ("port is already allocated", "address already in use", "ports are not available")
_LOG_LINES = 25
_LOOK_S = 0.1


class Lab(Protocol):
    """A JupyterLab that was started or found."""

    @property
    def port(self) -> int:
        """Its port on the loopback interface."""

    @property
    def url(self) -> str:
        """Its address with the token."""

    def runs(self) -> bool:
        """Whether it still runs."""

    def wait(self) -> None:
        """Wait until it ends."""

    def stop(self) -> None:
        """End it within bounds, and leave nothing of it."""

    def last_words(self) -> str:
        """The end of what it wrote."""


@dataclass(frozen=True, kw_only=True)
class ContainerLab:
    """A JupyterLab in a container."""

    docker: Docker
    name: str
    port: int
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """Its address with the token."""
        return lab_url(self.port, self.token)

    def runs(self) -> bool:
        """Whether the container runs."""
        found = self.docker.inspect("container", self.name)
        return found is not None and bool(found["State"]["Running"])

    def wait(self) -> None:
        """Wait until the container ends."""
        with subprocess.Popen(
            [self.docker.program, "wait", self.name],
            env=dict(self.docker.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is ours alone
        ) as waiting:
            try:
                waiting.wait()
            finally:
                waiting.kill()

    def stop(self) -> None:
        """End the container within bounds, and remove it."""
        self.docker.try_run(["stop", "--time", str(STOP_S), self.name], timeout_s=6 * STOP_S)
        self.docker.try_run(["rm", "--force", self.name])

    def last_words(self) -> str:
        """The end of what the container wrote."""
        done = self.docker.try_run(["logs", "--tail", str(_LOG_LINES), self.name])
        return (done.stdout + done.stderr).strip()


def lab_url(port: int, token: str) -> str:
    """The address to open in a browser."""
    return f"http://127.0.0.1:{port}/lab" + (f"?token={token}" if token else "")


def lab_name(root: Path) -> str:
    """The name of the container of a project: there is one at most."""
    return f"dayfly-lab-{_mark(root)}"


def _mark(root: Path) -> str:
    return hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]


def find_lab(docker: Docker, root: Path) -> ContainerLab | None:
    """The JupyterLab of this project that runs already; what is left of one that ended is removed."""
    name = lab_name(root)
    found = docker.inspect("container", name)
    if found is None or found["Config"]["Labels"].get(LABEL) != _mark(root):
        return None
    if found["State"]["Status"] in {"exited", "dead"}:
        docker.try_run(["rm", "--force", name])
        return None
    variables = dict(pair.partition("=")[::2] for pair in found["Config"]["Env"])
    port = _published(found)
    if port is None:
        return None
    return ContainerLab(docker=docker, name=name, port=port, token=variables.get(_TOKEN, ""))


def _published(found: Mapping[str, Any]) -> int | None:
    bindings = found["HostConfig"].get("PortBindings") or {}
    return next(
        (int(each["HostPort"]) for each in bindings.get(f"{PORT}/tcp") or [] if each["HostPort"]), None
    )


@dataclass(frozen=True, kw_only=True)
class LabPlan:
    """A JupyterLab as it shall be started: for which project, in which image, as whom, at which port."""

    root: Path
    image: str
    facts: ImageFacts
    settings: Settings
    port: int
    user: LabUser
    any_port: bool = False
    """Another port will do when somebody else takes this one before the container has it."""


def start_lab(docker: Docker, plan: LabPlan) -> ContainerLab:
    """Start JupyterLab in a container. Returns before it answers.

    Raises EngineError when the engine does not start it, ImageError when the image has no JupyterLab.
    """
    if "jupyterlab" not in {name.lower() for name in plan.facts.packages}:
        raise ImageError(
            f"There is no JupyterLab in the image {plan.image}.",
            why=f"The packages of {plan.facts.python.executable} in the image do not include jupyterlab.",
            hint="Add the line `jupyterlab` to requirements.txt (or to what the Dockerfile installs), and "
            "try again;\nor use the JupyterLab of this machine: dayfly lab --on local",
        )
    token = secrets.token_urlsafe(24)
    named = replace(docker, environ={**docker.environ, _TOKEN: token})
    try:
        try:
            named.run(lab_command(plan), timeout_s=_START_S)
        except EngineError as error:
            _end_mine(docker, plan.root, token)
            if not (plan.any_port and any(words in error.why for words in _PORT_TAKEN)):
                raise
            plan = replace(plan, port=_free_port(0))
            named.run(lab_command(plan), timeout_s=_START_S)
    except KeyboardInterrupt:  # the container may be there, and nobody has heard of it
        _end_mine(docker, plan.root, token)
        raise
    except EngineError as error:
        _end_mine(docker, plan.root, token)
        if (first := find_lab(docker, plan.root)) is not None:
            raise RunConflictError(
                f"JupyterLab runs already for {plan.root}.",
                why="It was started at the same moment.",
                hint=first.url,
            ) from error
        raise EngineError("The container of JupyterLab was not started.", why=error.why) from error
    return ContainerLab(docker=docker, name=lab_name(plan.root), port=plan.port, token=token)


def _end_mine(docker: Docker, root: Path, token: str) -> None:
    """Remove the container that was made with this token, started or not; another's is left alone."""
    found = docker.inspect("container", lab_name(root))
    if found is not None and f"{_TOKEN}={token}" in found["Config"]["Env"]:
        docker.try_run(["rm", "--force", str(found["Id"])])


def lab_command(plan: LabPlan) -> list[str]:
    """The `docker run` of JupyterLab, without `docker`. The token comes from its environment."""
    settings, user = plan.settings, plan.user
    home = [] if user.home else ["--tmpfs", f"{_HOME}:rw,exec,mode=1777"]
    return [
        *(
            "run",
            "--detach",
            "--init",
            "--name",
            lab_name(plan.root),
            "--label",
            f"{LABEL}={_mark(plan.root)}",
        ),
        *("--pull", "never", "--no-healthcheck", *UNPRIVILEGED),
        *limit_arguments(cpus=settings.cpus, memory_bytes=settings.memory, gpus=settings.gpus),
        *("--user", f"{user.uid}:{user.gid}", "--env", f"HOME={user.home or _HOME}", *home),
        *("--publish", f"127.0.0.1:{plan.port}:{PORT}", "--env", _TOKEN),
        *("--mount", mount(plan.root.resolve(), CHECKOUT), "--workdir", CHECKOUT),
        *("--entrypoint", plan.facts.python.executable, plan.image),
        *("-m", "jupyterlab", "--no-browser", "--ip=0.0.0.0", f"--port={PORT}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={CHECKOUT}"),
        *(["--allow-root"] if user.uid == 0 else []),
    ]


def choose_port(asked: int | None) -> int:
    """A port of the loopback interface that is free: the one that was asked for, else 8888, else any."""
    for port in [asked] if asked is not None else [PORT, 0]:
        try:
            return _free_port(port)
        except (OSError, OverflowError) as error:
            taken = error
    raise UsageError(
        f"JupyterLab cannot have the port {asked}.", why=str(taken), hint="Name another, or leave out --port."
    ) from taken


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])


def wait_until_ready(
    lab: Lab,
    *,
    within_s: float = READY_S,
    answers: Callable[[int], bool] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Return when JupyterLab answers; raise DayflyError, with its last lines, when it ends or is too slow."""
    asks = answers or _answers
    deadline = time.monotonic() + within_s
    while not asks(lab.port):
        if not lab.runs():
            raise DayflyError("JupyterLab ended before it answered.", why=lab.last_words())
        if time.monotonic() > deadline:
            raise DayflyError(f"JupyterLab did not answer within {within_s:g} s.", why=lab.last_words())
        pause(_LOOK_S)


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api")
        return connection.getresponse().status < 500  # noqa: PLR2004 -- it speaks
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()

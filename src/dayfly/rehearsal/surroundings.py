"""What is around the rehearsed instances: a network, and in it the container that stands in for AWS.

The container lives as long as the pipe to it is open, so it cannot outlive whoever started it.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dayfly.environment.docker import Docker
from dayfly.rehearsal.certificate import Certificate, make_certificate
from dayfly.rehearsal.emulator import ACCOUNT, REGION, Emulator, RehearsalError, api_environment
from dayfly.rehearsal.place import find_abandoned, remove_place, write_name

LABEL = "dev.dayfly.rehearsal"
API_NAME = "aws.rehearsal.internal"
API_PORT = 4566
GIT = f"git-codecommit.{REGION}.amazonaws.com"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
_NAMED = '{{.Names}} {{.Label "dev.dayfly.rehearsal"}}'
IMAGES = "dayfly-rehearsal-images"
"""The volume of the registry, which stays: what was pushed once need not be pushed again."""
_START = "import sys; sys.path.insert(0, '/opt/rehearsal'); from around.serve import main; main()"
_ANSWER_S = 30.0
_STARTS_WITHIN_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """One rehearsal's AWS. `emulator` is its API as this computer reaches it."""

    rehearsal_id: str
    docker: Docker
    image: str
    network: str
    container: str
    address: str
    """The container's, in the rehearsal's network."""
    certificate: Certificate
    emulator: Emulator
    registry_port: int
    """On this computer's loopback, for pushing."""
    password: str = field(repr=False)
    _process: subprocess.Popen[str] = field(repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def tell(self, **what: Any) -> None:
        """Tell the container one thing (see `around.serve`). Raises RehearsalError."""
        with self._lock:
            if self._process.stdin is None or self._process.stdout is None:
                raise ValueError("the container is spoken with through pipes")
            try:
                self._process.stdin.write(json.dumps(what) + "\n")
                self._process.stdin.flush()
                said = json.loads(self._process.stdout.readline() or '{"error": "it has ended"}')
            except (OSError, ValueError) as error:
                raise RehearsalError("The rehearsal's AWS has ended.", why=repr(error)) from error
        if "error" in said:
            raise RehearsalError(f"The rehearsal's AWS could not {what['do']}.", why=said["error"])

    def environ(self) -> dict[str, str]:
        """How the instances reach the API: what their systemd gives every service."""
        bundle = "/etc/ssl/certs/rehearsal.pem"
        return {
            "AWS_ENDPOINT_URL": f"https://{API_NAME}:{API_PORT}",
            "AWS_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }


@contextmanager
def start_surroundings(docker: Docker, image: str, state: Path) -> Iterator[Surroundings]:
    """Network and container for as long as the block lasts. Raises RehearsalError."""
    rehearsal_id = f"dayfly-rehearsal-{secrets.token_hex(4)}"
    names = ("localhost", API_NAME, REGISTRY, GIT, f"{GIT}.localhost", "host.docker.internal")
    certificate = make_certificate(state / "tls", names=names)
    password = secrets.token_urlsafe(24)
    write_name(state, rehearsal_id)
    with ExitStack() as ends:
        docker.run(["network", "create", "--label", f"{LABEL}={rehearsal_id}", rehearsal_id])
        ends.callback(docker.try_run, ["network", "rm", rehearsal_id])
        container = f"{rehearsal_id}-aws"
        log = ends.enter_context((state / "aws.log").open("w", encoding="utf-8"))
        process = subprocess.Popen(
            _command(image, rehearsal_id, certificate, password),
            env=dict(docker.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        ends.callback(_end, docker, process, container)
        _wait_until_ready(process, state / "aws.log")
        found = docker.inspect("container", container) or {}
        settings = found["NetworkSettings"]
        api_port, registry_port = (_published(settings, port) for port in (API_PORT, 443))
        yield Surroundings(
            rehearsal_id=rehearsal_id,
            docker=docker,
            image=image,
            network=rehearsal_id,
            container=container,
            address=settings["Networks"][rehearsal_id]["IPAddress"],
            certificate=certificate,
            emulator=Emulator(
                endpoint=f"https://localhost:{api_port}",
                ca_bundle=certificate.bundle,
                region=REGION,
                account=ACCOUNT,
                log=state / "aws.log",
                _process=process,
            ),
            registry_port=registry_port,
            password=password,
            _process=process,
        )


def remove_orphans(docker: Docker) -> None:
    """Remove what a rehearsal has left that was killed: its AWS ended with it, and so must its instances."""
    abandoned = find_abandoned()
    killed = set(abandoned.values())
    names = docker.run(["ps", "--all", "--filter", f"label={LABEL}", "--format", _NAMED]).splitlines()
    containers = dict(line.split(" ", 1) for line in names)
    alive = {label for name, label in containers.items() if name == f"{label}-aws"} - killed
    for name, label in containers.items():
        if label not in alive:
            docker.try_run(["rm", "--force", "--volumes", name])
    listed = docker.run(["network", "ls", "--filter", f"label={LABEL}", "--format", "{{.Name}}"])
    for network in set(listed.split()) - alive:
        if network in killed or _is_old(docker, network):
            docker.try_run(["network", "rm", network])
    for place in abandoned:
        remove_place(place)


def _is_old(docker: Docker, network: str) -> bool:
    """Whether its AWS should long be there: that of a network that has just been made is about to start."""
    made = docker.try_run(["network", "inspect", "--format", "{{.Created.Unix}}", network]).stdout.strip()
    return made.isdecimal() and time.time() - int(made) > _STARTS_WITHIN_S


def _command(image: str, network: str, certificate: Certificate, password: str) -> list[str]:
    everywhere = "0.0.0.0"  # noqa: S104 -- in a network of its own
    api = api_environment(host=everywhere, region=REGION, account=ACCOUNT)
    configuration = {"password": password, "api": {**api, "DAYFLY_REGISTRY_PASSWORD": password}}
    folder = certificate.certificate.parent
    return [
        *(
            "docker",
            "run",
            "--interactive",
            "--rm",
            "--name",
            f"{network}-aws",
            "--label",
            f"{LABEL}={network}",
        ),
        *("--network", network, "--network-alias", API_NAME, "--cap-add", "NET_ADMIN", "--hostname", "aws"),
        *("--publish", f"127.0.0.1::{API_PORT}", "--publish", "127.0.0.1::443"),
        *("--mount", f"type=bind,source={folder},target=/tls,readonly"),
        *("--mount", f"type=volume,source={IMAGES},target=/var/lib/images"),
        *("--workdir", "/opt/rehearsal", "--entrypoint", "/opt/emulator/bin/python", image),
        *("-P", "-c", _START),
        json.dumps(configuration),
    ]


def _wait_until_ready(process: subprocess.Popen[str], log: Path) -> None:
    """Until the container says so; it gives up by itself, and ends."""
    if process.stdout is None or '"ready"' not in process.stdout.readline():
        said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RehearsalError("The rehearsal's AWS did not start.", why=said)


def _published(settings: dict[str, Any], port: int) -> int:
    return int(settings["Ports"][f"{port}/tcp"][0]["HostPort"])


def _end(docker: Docker, process: subprocess.Popen[str], container: str) -> None:
    """By closing its standard input; by force when that is not enough."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    docker.try_run(["rm", "--force", "--volumes", container])
    try:
        process.wait(_ANSWER_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()

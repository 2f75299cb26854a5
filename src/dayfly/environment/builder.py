"""Which builder the Docker engine and its command have, and running it."""

from __future__ import annotations

import json
import platform as machine
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dayfly.environment.docker import Docker
from dayfly.errors import EngineError, ImageError

_FIRST_WITHOUT = 23
"""The first Docker command that has no BuildKit of its own: it needs the plugin buildx."""
_TOLD = 15
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "x64": "amd64"}


@dataclass(frozen=True, kw_only=True)
class Builder:
    """How images are built: by BuildKit, or by the engine's old builder."""

    buildkit: bool
    platform: str
    """The engine's own, such as linux/amd64."""
    name: str = ""
    """The plugin's builder that is the engine itself: what another one builds stays with it."""


def normal_platform(text: str) -> str:
    """A platform as the engine writes it: `linux/x86_64` is `linux/amd64`, `arm64` is `linux/arm64`."""
    system, *rest = text.strip().lower().split("/")
    if not rest:
        system, rest = "linux", [system]
    rest[0] = _ARCHITECTURES.get(rest[0], rest[0])
    if rest == ["arm64", "v8"]:  # what arm64 is anyway
        rest.pop()
    return "/".join([system or "linux", *filter(None, rest)])


def engine_platform(docker: Docker) -> str:
    """The platform of the engine, such as linux/amd64."""
    return _platform_of(_version(docker))


def machine_platform() -> str:
    """The platform of a Docker engine on this machine."""
    return normal_platform(f"linux/{machine.machine()}")


def find_builder(docker: Docker) -> Builder:
    """The builder there is. `DOCKER_BUILDKIT=0` asks for the old one, as it does of docker itself."""
    version = _version(docker)
    if docker.environ.get("DOCKER_BUILDKIT") == "0":
        buildkit = False
    else:
        client = str(version.get("Client", {}).get("Version", "0"))
        major = int("".join(filter(str.isdigit, client.partition(".")[0])) or 0)
        if docker.try_run(["buildx", "version"]).returncode == 0:
            # Each of docker's contexts has a builder of its name that is its engine.
            context = docker.try_run(["context", "show"]).stdout.strip()
            return Builder(buildkit=True, platform=_platform_of(version), name=context or "default")
        buildkit = major < _FIRST_WITHOUT
    return Builder(buildkit=buildkit, platform=_platform_of(version))


def _version(docker: Docker) -> dict[str, dict[str, str]]:
    version: dict[str, dict[str, str]] = json.loads(docker.run(["version", "--format", "{{json .}}"]))
    if not version.get("Server"):
        raise EngineError("The Docker engine cannot be reached.", hint="Look at it with: docker info")
    return version


def _platform_of(version: dict[str, dict[str, str]]) -> str:
    server = version["Server"]
    return normal_platform(f"{server.get('Os', 'linux')}/{server.get('Arch', machine.machine())}")


def build(
    docker: Docker, builder: Builder, arguments: Sequence[str], *, what: str, echo: Callable[[str], None]
) -> None:
    """Run `docker build`. Raises ImageError with its last lines when it fails."""
    environ = {"DOCKER_BUILDKIT": "1" if builder.buildkit else "0", "BUILDKIT_PROGRESS": "plain"}
    if builder.name:
        environ["BUILDX_BUILDER"] = builder.name
    last: deque[str] = deque(maxlen=_TOLD)

    def hear(line: str) -> None:
        if line.strip():
            last.append(line)
        echo(line)

    code = docker.stream(["build", *arguments], hear, environ=environ)
    if code != 0:
        why = "\n".join(last) or f"docker build ended with exit code {code}."
        hint = "Mend it, and build it again with: dayfly image build"
        if not builder.buildkit and "requires buildkit" in why.lower():
            hint = "Install the plugin buildx: what is built here needs BuildKit."
        raise ImageError(f"{what} cannot be built.", why=why, hint=hint)

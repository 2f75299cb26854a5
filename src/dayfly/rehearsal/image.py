"""The rehearsal's image: Debian with systemd, cloud-init, a Docker engine, and the emulated AWS."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from dayfly.environment.builder import build, find_builder
from dayfly.environment.docker import Docker
from dayfly.rehearsal.environment import DATA, REQUIREMENTS

DEFAULT_BASE = "debian:bookworm-slim"
AWS_CLI = "awscli==1.46.3"
_NAME = "dayfly/rehearsal"
_HERE = Path(__file__).parent
_PARTS = ("machine", "around", "extension")


def rehearsal_image(
    docker: Docker, *, base: str = DEFAULT_BASE, network: str | None = None, echo: Callable[[str], None]
) -> str:
    """The tag of the image, which is built when it is not there: some minutes, and a gigabyte.

    Raises ImageError with the builder's last lines.
    """
    tag = f"{_NAME}:{_key(base)}"
    if docker.inspect("image", tag) is not None:
        return tag
    with tempfile.TemporaryDirectory(prefix="dayfly-rehearsal-") as folder:
        context = Path(folder)
        for part in _PARTS:
            target = context if part == "machine" else context / part
            shutil.copytree(
                _HERE / part, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        arguments = ["--tag", tag]
        if network is not None:
            arguments += ["--network", network]
        values = {
            "BASE": base,
            "REQUIREMENTS": " ".join(REQUIREMENTS),
            "DATA": " ".join(DATA),
            "AWS_CLI": AWS_CLI,
        }
        for name, value in values.items():
            arguments += ["--build-arg", f"{name}={value}"]
        build(
            docker, find_builder(docker), [*arguments, str(context)], what="The rehearsal's image", echo=echo
        )
    return tag


def _key(base: str) -> str:
    digest = hashlib.sha256("\0".join((base, *REQUIREMENTS, *DATA, AWS_CLI)).encode())
    for file in _files():
        digest.update(file.relative_to(_HERE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _files() -> Iterator[Path]:
    for part in _PARTS:
        yield from sorted(
            file for file in (_HERE / part).rglob("*") if file.is_file() and file.parent.name != "__pycache__"
        )

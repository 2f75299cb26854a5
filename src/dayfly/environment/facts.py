"""What is in an image: asked of it once, and kept beside the user's other caches."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dayfly.environment.docker import Docker
from dayfly.environment.image import Image
from dayfly.environment.layer import PYTHON
from dayfly.errors import ImageError
from dayfly.runner.kernelspecs import KernelSpec

_PROBE_S = 300.0
_OLDEST = (3, 10)


@dataclass(frozen=True, kw_only=True)
class ImageUser:
    """The user that the image runs as."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, kw_only=True)
class ImagePython:
    """The Python of the user's environment in an image."""

    executable: str
    prefix: str
    version: str


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What a run in an image will find."""

    user: ImageUser
    python: ImagePython
    kernels: Mapping[str, KernelSpec]
    packages: Mapping[str, str]


def image_facts(docker: Docker, image: Image, *, cache: Path) -> ImageFacts:
    """What is in the image. A container of it is run once; then the answer lies in `cache`.

    Raises ImageError when the image has no Python that is new enough, or no kernel.
    """
    kept = cache / f"{image.id.replace(':', '-')}.json"
    try:
        return read_facts(json.loads(kept.read_bytes()), image.tag)
    except (OSError, ValueError, KeyError, TypeError):
        answer = _ask(docker, image)
    facts = read_facts(answer, image.tag)
    with suppress(OSError):  # a cache that cannot be written costs a second the next time
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=cache, delete=False, encoding="utf-8") as file:
            json.dump(answer, file)
        os.replace(file.name, kept)  # noqa: PTH105 -- atomic, as Path.replace; the name is a str
    return facts


def _ask(docker: Docker, image: Image) -> Any:
    command = ["run", "--rm", "--network", "none", "--entrypoint", PYTHON, image.id]
    done = docker.try_run([*command, "-I", "-m", "dayfly.runner.probe"], timeout_s=_PROBE_S)
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise ImageError(
            f"The image {image.tag} does not say what is in it.",
            why=(done.stderr or done.stdout).strip()[-2000:],
            hint="Build it anew with: dayfly image build --no-cache",
        ) from error


def read_facts(answer: Any, tag: str) -> ImageFacts:
    """The facts in what the image `tag` has answered. Raises ImageError when it is of no use to dayfly."""
    python = answer["python"]
    if python is None:
        raise ImageError(
            f"There is no Python in the image {tag}.",
            why="Neither VIRTUAL_ENV nor CONDA_PREFIX nor PATH leads to one.",
            hint="Install Python 3.10 or newer in the image, and put it on PATH.",
        )
    if tuple(int(part) for part in python["version"].split(".")[:2]) < _OLDEST:
        raise ImageError(
            f"The Python of the image {tag} is too old.",
            why=f"{python['executable']} is Python {python['version']}.",
            hint="Use Python 3.10 or newer in the image.",
        )
    if not answer["kernels"]:
        raise ImageError(
            f"There is no Jupyter kernel in the image {tag}.",
            why=f"ipykernel is not installed for {python['executable']}.",
            hint="Add ipykernel to what the image installs.",
        )
    return ImageFacts(
        user=ImageUser(**answer["user"]),
        python=ImagePython(**python),
        kernels={spec["name"]: _kernel(spec) for spec in answer["kernels"]},
        packages=dict(answer["packages"]),
    )


def _kernel(spec: dict[str, Any]) -> KernelSpec:
    directory = spec["directory"] and Path(spec["directory"])
    return KernelSpec(**{**spec, "argv": tuple(spec["argv"]), "directory": directory})

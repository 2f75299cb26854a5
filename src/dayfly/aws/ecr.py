"""The project's image repository in ECR: what is there, and a docker command that may push to it.

A tag is given once and never moved, so an image whose tag is there needs no second push.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.aws.image_records import ImageRecord
from dayfly.environment.docker import Docker
from dayfly.errors import AwsError, ImageError

if TYPE_CHECKING:
    from mypy_boto3_ecr.type_defs import ImageDetailTypeDef

_MISSING = {"ImageNotFoundException"}


@dataclass(frozen=True, kw_only=True)
class RepositoryImage:
    """An image as the repository has it. `size_bytes` is what a machine pulls, compressed; times are UTC."""

    digest: str
    tags: tuple[str, ...]
    size_bytes: int
    pushed: datetime


def repository_of(base: BaseStack) -> tuple[str, str]:
    """The registry's host and the repository's name, from the base stack."""
    host, _, name = base.repository_uri.partition("/")
    return host, name


def find_repository_image(
    aws: Aws, base: BaseStack, *, tag: str | None = None, digest: str | None = None
) -> RepositoryImage | None:
    """The image with this tag or digest; None when there is none."""
    wanted: Any = {"imageTag": tag} if tag is not None else {"imageDigest": digest}
    try:
        found = aws.ecr.describe_images(repositoryName=repository_of(base)[1], imageIds=[wanted])
    except AwsError as error:
        if error.code in _MISSING:
            return None
        raise
    return next((_image(one) for one in found["imageDetails"]), None)


def check_image(aws: Aws, base: BaseStack, record: ImageRecord) -> None:
    """Raise ImageError when the repository does not have the image of the record (any more)."""
    if find_repository_image(aws, base, digest=record.digest) is None:
        raise ImageError(
            f"The project's image {record.tag} is not in the image repository any more.",
            why=f"{base.repository_uri} has no {record.digest}: old images are removed in time.",
            hint="Build it on a machine with: dayfly image build --on ec2\n"
            "or here, with Docker: dayfly image build && dayfly image push",
        )


def list_repository_images(aws: Aws, base: BaseStack) -> list[RepositoryImage]:
    """Every image in the project's repository, newest first."""
    pages = aws.ecr.get_paginator("describe_images").paginate(repositoryName=repository_of(base)[1])
    found = [_image(one) for page in pages for one in page["imageDetails"]]
    return sorted(found, key=lambda image: (image.pushed, image.digest), reverse=True)


def _image(found: ImageDetailTypeDef) -> RepositoryImage:
    return RepositoryImage(
        digest=found["imageDigest"],
        tags=tuple(sorted(found.get("imageTags", []))),
        size_bytes=int(found.get("imageSizeInBytes", 0)),
        pushed=found["imagePushedAt"],
    )


@contextmanager
def logged_in(aws: Aws, base: BaseStack, docker: Docker) -> Iterator[Docker]:
    """A docker command that may push to and pull from the project's repository, for as long as this is open.

    The token, which AWS gives for twelve hours, is in a file of a private folder, and gone with it: in
    no process's arguments, no log, and not in the user's own docker configuration.
    """
    answer = aws.ecr.get_authorization_token()
    token = answer["authorizationData"][0]["authorizationToken"]
    with tempfile.TemporaryDirectory(prefix="dayfly-docker-") as folder:
        _write_configuration(Path(folder), docker, {repository_of(base)[0]: {"auth": token}})
        yield replace(docker, environ={**docker.environ, "DOCKER_CONFIG": folder})


def _write_configuration(folder: Path, docker: Docker, auths: dict[str, Any]) -> None:
    """A docker configuration that leads to the same engine as the user's, and knows nothing else of it."""
    home = docker.environ.get("HOME") or str(Path.home())
    own = Path(docker.environ.get("DOCKER_CONFIG") or Path(home, ".docker"))
    content: dict[str, Any] = {"auths": auths}
    with suppress(OSError, ValueError, AttributeError):
        context = json.loads((own / "config.json").read_bytes()).get("currentContext")
        if context:
            content["currentContext"] = context
    if (own / "contexts").is_dir():
        (folder / "contexts").symlink_to((own / "contexts").resolve())
    descriptor = os.open(folder / "config.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)

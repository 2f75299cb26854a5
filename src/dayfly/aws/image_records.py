"""What is known of an image in the image repository, so that a laptop without Docker can plan a run in it.

The records lie in the store, one for each content key. `dayfly image push` writes them, and so does a machine
that has built an image, with what the image itself has answered (`dayfly.runner.probe`).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

from dayfly.environment.facts import ImageFacts, ImagePython, ImageUser, read_facts
from dayfly.environment.image import Image
from dayfly.errors import DamagedFileError, ImageError
from dayfly.runner.kernelspecs import KernelSpec
from dayfly.runs.layout import image_key
from dayfly.runs.model import Model, parse_model
from dayfly.runs.store import Store

VERSION = 1
"""Of the record. One of a newer version is not guessed at."""
_DIGEST = r"^sha256:[0-9a-f]{64}$"


def _by_name(value: Any) -> Any:
    """Kernels as the image answers them, a list, by their names."""
    return {one["name"]: one for one in value} if isinstance(value, list) else value


class ImageRecord(Model):
    """An image in the image repository: its name there, and what a run will find in it."""

    version: int = VERSION
    key: str
    """The key of its content (see `dayfly.environment.plan`)."""
    tag: str
    """The tag in the repository, without the repository."""
    digest: str = Field(pattern=_DIGEST)
    platform: str
    user: ImageUser
    python: ImagePython | None
    kernels: Annotated[dict[str, KernelSpec], BeforeValidator(_by_name)]
    packages: dict[str, str] = Field(default_factory=dict)
    size_bytes: int
    pushed: AwareDatetime

    def facts(self) -> ImageFacts:
        """What a run in the image will find. Raises ImageError when the image is of no use to dayfly."""
        known = self.model_dump(mode="json", include={"user", "python", "kernels", "packages"})
        return read_facts({**known, "kernels": list(known["kernels"].values())}, self.tag)

    def reference(self, repository_uri: str) -> str:
        """The image's name by which it is pulled: `…/dayfly/name@sha256:…`."""
        return f"{repository_uri}@{self.digest}"


def make_image_record(
    image: Image, facts: ImageFacts, *, tag: str, digest: str, pushed: datetime
) -> ImageRecord:
    """The record of a local image that was pushed as `tag`."""
    return ImageRecord(
        key=image.key,
        tag=tag,
        digest=digest,
        platform=image.platform,
        user=facts.user,
        python=facts.python,
        kernels=dict(facts.kernels),
        packages=dict(facts.packages),
        size_bytes=image.size_bytes,
        pushed=pushed,
    )


def put_image_record(store: Store, record: ImageRecord) -> None:
    """Write the record, or replace it: who pushes a key again has the same image."""
    store.put(image_key(record.key), record.to_bytes())


def find_image_record(store: Store, key: str) -> ImageRecord | None:
    """The record of the image with this content key; None when nobody has pushed it.

    Raises DamagedFileError for one that is none, ImageError for one that a newer dayfly has written.
    """
    data = store.get(image_key(key))
    if data is None:
        return None
    _check_version(data, key)
    record = parse_model(ImageRecord, data, image_key(key))
    if record.key != key:
        raise DamagedFileError(
            f"{image_key(key)} is damaged.",
            why=f"It is of another image: {record.key}.",
            hint="Write it anew with: dayfly image push",
        )
    return record


def load_image_record(store: Store, key: str, *, arch: str = "") -> ImageRecord:
    """The record of the image with this content key. Raises ImageError when nobody has pushed it."""
    record = find_image_record(store, key)
    if record is None and arch == "arm64":
        raise ImageError(
            "The project's image for arm64 is not in its image repository.",
            why=f"Nobody has pushed or built the content key {key[:16]} yet.",
            hint="Build it on a machine with: DAYFLY_ARCH=arm64 dayfly image build --on ec2",
        )
    if record is None:
        raise ImageError(
            "The project's image is not in its image repository.",
            why=f"Nobody has pushed or built the content key {key[:16]} yet.",
            hint="Build it on a machine with: dayfly image build --on ec2\n"
            "or here, with Docker: dayfly image build && dayfly image push",
        )
    return record


def _check_version(data: bytes, key: str) -> None:
    try:
        found = json.loads(data)
    except ValueError:
        return  # told by whoever parses it, with the line
    version = found.get("version", VERSION) if isinstance(found, dict) else VERSION
    if isinstance(version, int) and version > VERSION:
        raise ImageError(
            f"What is known of the image {key[:16]} was written by a newer dayfly.",
            why=f"{image_key(key)} is of version {version}; this dayfly reads version {VERSION}.",
            hint="Install the newer dayfly here, too.",
        )

"""From an image of this machine's engine to the project's repository, with its record in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.aws.ecr import RepositoryImage, find_repository_image, logged_in
from dayfly.aws.image_records import ImageRecord, find_image_record, make_image_record, put_image_record
from dayfly.environment.docker import Docker
from dayfly.environment.facts import ImageFacts
from dayfly.environment.image import Image, push_image
from dayfly.environment.plan import ImagePlan
from dayfly.errors import ImageError
from dayfly.runs.store import Store


@dataclass(frozen=True, kw_only=True)
class Published:
    """An image in the repository. `pushed` says whether it was brought there now."""

    record: ImageRecord
    reference: str
    """Its name with the digest, by which it is pulled."""
    pushed: bool


def repository_tag(plan: ImagePlan) -> str:
    """The image's tag in the repository: the beginning of its key, which the platform is part of."""
    return plan.tag.rpartition(":")[2]


def find_published(aws: Aws, base: BaseStack, store: Store, key: str) -> ImageRecord | None:
    """The record of the image of this key, if the repository still has that image; else None."""
    record = find_image_record(store, key)
    if record is None or find_repository_image(aws, base, digest=record.digest) is None:
        return None
    return record


def publish_image(  # noqa: PLR0913 -- from where, to where, and what
    aws: Aws,
    base: BaseStack,
    store: Store,
    *,
    docker: Docker,
    plan: ImagePlan,
    image: Image,
    facts: Callable[[], ImageFacts],
) -> Published:
    """Push `image`, which was built by `plan`, unless it is there, and write its record.

    `facts` asks the image what is in it. Raises ImageError when the push fails.
    """
    tag = repository_tag(plan)
    known = find_image_record(store, plan.key)
    there = find_repository_image(aws, base, tag=tag)
    pushed = there is None
    digest = there.digest if there is not None else ""
    if there is None:
        digest, pushed = _push(aws, base, docker, image, tag)
    if known is None or known.digest != digest:
        known = make_image_record(image, facts(), tag=tag, digest=digest, pushed=aws.now())
        put_image_record(store, known)
    return Published(record=known, reference=known.reference(base.repository_uri), pushed=pushed)


def _push(aws: Aws, base: BaseStack, docker: Docker, image: Image, tag: str) -> tuple[str, bool]:
    """The digest, and whether it was we who pushed it."""
    reference = f"{base.repository_uri}:{tag}"
    try:
        with logged_in(aws, base, docker) as allowed:
            return push_image(allowed, image, reference), True
    except ImageError as error:
        other = _pushed_meanwhile(aws, base, tag)
        if other is not None:
            return other.digest, False
        raise ImageError(
            f"The image cannot be pushed to {base.repository_uri}.",
            why=error.why,
            hint="See what is wrong with: dayfly cloud doctor",
        ) from error


def _pushed_meanwhile(aws: Aws, base: BaseStack, tag: str) -> RepositoryImage | None:
    """Somebody else may have been faster: then the repository refuses to move the tag."""
    return find_repository_image(aws, base, tag=tag)

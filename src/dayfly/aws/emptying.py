"""Deleting what is kept: every version in the bucket, every image, the mirror; then what held them.

Each step can be cut off and repeated: what is gone is no error, and the container goes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dayfly.aws.base_parameters import bucket_is_ours, mirror_is_ours, repository_is_ours
from dayfly.aws.names import base_stack_name, bucket_name, repository_name
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from dayfly.aws.client import Aws

_AT_ONCE = 4
_ECR_BATCH = 100

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What outlives the base stack. Empty names are of what is not there."""

    bucket: str = ""
    repository: str = ""
    mirror: str = ""

    @property
    def words(self) -> list[str]:
        """A line for each, as a person is told of it."""
        named = {"bucket": self.bucket, "image repository": self.repository, "CodeCommit": self.mirror}
        return [f"{kind} {name}" for kind, name in named.items() if name]


def find_kept(aws: Aws, project: str, account: str) -> Kept:
    """What of this project stands beside the stack. Raises AwsError where its name is another's."""
    bucket = bucket_name(project, account, aws.region)
    return Kept(
        bucket=bucket if bucket_is_ours(aws, bucket, project) else "",
        repository=repository_name(project) if repository_is_ours(aws, project) else "",
        mirror=base_stack_name(project) if mirror_is_ours(aws, project) else "",
    )


def delete_kept(aws: Aws, kept: Kept, tell: Tell) -> None:
    """Delete all that the project has ever saved. There is no way back. Raises AwsError."""
    if kept.bucket:
        empty_bucket(aws, kept.bucket, tell)
        _unless_gone({"NoSuchBucket"}, lambda: aws.s3.delete_bucket(Bucket=kept.bucket))
        tell(f"deleted bucket {kept.bucket}")
    if kept.repository:
        _empty_repository(aws, kept.repository, tell)
        _unless_gone(
            {"RepositoryNotFoundException"},
            lambda: aws.ecr.delete_repository(repositoryName=kept.repository),
        )
        tell(f"deleted image repository {kept.repository}")
    if kept.mirror:
        aws.codecommit.delete_repository(repositoryName=kept.mirror)
        tell(f"deleted CodeCommit repository {kept.mirror}")


def empty_bucket(aws: Aws, bucket: str, tell: Tell) -> int:
    """Delete every version and delete marker, a thousand a request, and uploads that were broken off.

    Returns how many there were. Raises AwsError; what is deleted by then stays deleted.
    """

    def delete(page: list[dict[str, str]]) -> int:
        answer: Any = aws.s3.delete_objects(Bucket=bucket, Delete={"Objects": page, "Quiet": True})  # type: ignore[typeddict-item]
        for error in answer.get("Errors", [])[:1]:
            raise AwsError(
                f"The bucket {bucket} cannot be emptied: {error['Code']}.",
                why=f"{error['Key']}: {error.get('Message', '')}",
                hint="Repeat the command; what is deleted is deleted.",
                code=error["Code"],
            )
        return len(page)

    count = 0
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done in pool.map(delete, _versions(aws, bucket)):
                count += done
                tell(f"deleted {count} versions in {bucket}")
        for upload in _broken_uploads(aws, bucket):
            aws.s3.abort_multipart_upload(Bucket=bucket, **upload)
    except AwsError as error:
        if error.code != "NoSuchBucket":
            raise
    return count


def _versions(aws: Aws, bucket: str) -> Iterator[list[dict[str, str]]]:
    """All versions and delete markers, in pages of at most a thousand."""
    for page in aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found: list[Any] = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if found:
            yield [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]


def _broken_uploads(aws: Aws, bucket: str) -> Iterator[Any]:
    for page in aws.s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for one in page.get("Uploads", []):
            yield {"Key": one["Key"], "UploadId": one["UploadId"]}


def _empty_repository(aws: Aws, name: str, tell: Tell) -> None:
    """All images, with and without tags, a hundred a request."""
    count = 0
    try:
        while found := aws.ecr.list_images(repositoryName=name, maxResults=_ECR_BATCH)["imageIds"]:
            count += _delete_images(aws, name, {one["imageDigest"] for one in found})
            tell(f"deleted {count} images in {name}")
    except AwsError as error:
        if error.code != "RepositoryNotFoundException":
            raise


def _delete_images(aws: Aws, name: str, digests: set[str]) -> int:
    """How many are gone. An image that an index names can go only after that, in another request."""
    answer = aws.ecr.batch_delete_image(
        repositoryName=name, imageIds=[{"imageDigest": digest} for digest in sorted(digests)]
    )
    deleted = {one.get("imageDigest") for one in answer["imageIds"]}
    if not deleted:
        failure = answer["failures"][0]
        raise AwsError(
            f"The image repository {name} cannot be emptied: {failure.get('failureCode', '')}.",
            why=failure.get("failureReason", ""),
            hint="Repeat the command; what is deleted is deleted.",
        )
    return len(deleted)


def _unless_gone(codes: set[str], act: Callable[[], object]) -> None:
    try:
        act()
    except AwsError as error:
        if error.code not in codes:
            raise

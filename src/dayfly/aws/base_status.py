"""The base stack as it stands: what it holds, what that costs a month, how it differs from its template."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from dayfly.aws.base import TEMPLATE_VERSION
from dayfly.aws.batch_status import BatchStatus, load_batch_status
from dayfly.aws.doctor import DENIED
from dayfly.aws.ecr import list_repository_images
from dayfly.aws.estimates import HOURS_A_MONTH, idle_cost
from dayfly.aws.machines import Machine, list_machines
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from dayfly.aws.base import BaseStack
    from dayfly.aws.client import Aws
    from dayfly.aws.extras import Extras

DRIFT_WITHIN = timedelta(minutes=5)
_POLL_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Storage:
    """What is kept. The bytes are of all versions: older ones cost as well."""

    objects: int
    bucket_bytes: int
    versions: int | None
    images: int
    images_bytes: int


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A resource that is not as the template has it."""

    logical_id: str
    type: str
    status: str
    """CloudFormation's word: MODIFIED or DELETED."""


@dataclass(frozen=True, kw_only=True)
class BaseStatus:
    """What stands. `monthly` is dollars while no machine lives, None when a price is unknown."""

    base: BaseStack
    newest_version: int
    storage: Storage
    monthly: Decimal | None
    machines: tuple[Machine, ...]
    drift: tuple[Drift, ...] | None
    """None when it was not looked for."""
    batch: BatchStatus | None = None
    """None where the base stack has no Batch."""


def load_status(aws: Aws, base: BaseStack, extras: Extras, *, drift: bool) -> BaseStatus:
    """Look at everything at once. Raises AwsError."""
    with ThreadPoolExecutor(5) as pool:
        bucket = pool.submit(_measure_bucket, aws, base.bucket)
        images = pool.submit(list_repository_images, aws, base)
        machines = pool.submit(list_machines, aws, base.project)
        batch = pool.submit(load_batch_status, aws, base)
        drifted = pool.submit(find_drift, aws, base.stack_id) if drift else None
        objects, size, versions = bucket.result()
        storage = Storage(
            objects=objects,
            bucket_bytes=size,
            versions=versions,
            images=len(images.result()),
            images_bytes=sum(one.size_bytes for one in images.result()),
        )
        return BaseStatus(
            base=base,
            newest_version=TEMPLATE_VERSION,
            storage=storage,
            monthly=_monthly(base, storage, extras),
            machines=tuple(machines.result()),
            drift=None if drifted is None else tuple(drifted.result()),
            batch=batch.result(),
        )


def _measure_bucket(aws: Aws, bucket: str) -> tuple[int, int, int | None]:
    """Objects, bytes, and how many versions: one LIST for a thousand.

    Who submits runs may see no older versions: then it is the bytes of the objects, and None versions.
    """
    objects = size = versions = 0
    try:
        for page in aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for one in page.get("Versions", []):
                versions += 1
                size += one["Size"]
                objects += one["IsLatest"]
    except AwsError as error:
        if error.code not in DENIED:
            raise
    else:
        return objects, size, versions
    objects = size = 0
    for listing in aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in listing.get("Contents", []):
            objects += 1
            size += found["Size"]
    return objects, size, None


def _monthly(base: BaseStack, storage: Storage, extras: Extras) -> Decimal | None:
    kept = idle_cost(extras, bucket_bytes=storage.bucket_bytes, images_bytes=storage.images_bytes)
    if not base.elastic_ip_allocation:
        return kept
    if kept is None or extras.address_per_hour is None:
        return None
    return kept + extras.address_per_hour * HOURS_A_MONTH


def find_drift(aws: Aws, stack_id: str) -> Sequence[Drift]:
    """Let CloudFormation compare the stack with its template. Takes a minute; five at most.

    Raises AwsError when CloudFormation cannot or takes longer.
    """
    asked = aws.cloudformation.detect_stack_drift(StackName=stack_id)["StackDriftDetectionId"]
    began = aws.now()
    while True:
        said = aws.cloudformation.describe_stack_drift_detection_status(StackDriftDetectionId=asked)
        if said["DetectionStatus"] == "DETECTION_COMPLETE":
            break
        if said["DetectionStatus"] == "DETECTION_FAILED":
            raise AwsError(
                "CloudFormation could not compare the base stack with its template.",
                why=said.get("DetectionStatusReason", ""),
            )
        if aws.now() - began >= DRIFT_WITHIN:
            raise AwsError(
                f"CloudFormation did not compare the base stack within {DRIFT_WITHIN.seconds // 60} minutes.",
                hint="Try again later, or leave --drift out.",
            )
        aws.sleep(_POLL_S)
    pages = aws.cloudformation.describe_stack_resource_drifts(
        StackName=stack_id, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
    )
    return [
        Drift(
            logical_id=one["LogicalResourceId"],
            type=one["ResourceType"],
            status=one["StackResourceDriftStatus"],
        )
        for one in pages["StackResourceDrifts"]
    ]

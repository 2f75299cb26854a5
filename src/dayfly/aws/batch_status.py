"""AWS Batch as it stands: what it may take and has, its queues, and the jobs that are alive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dayfly.aws.batch_jobs import list_open_jobs
from dayfly.aws.names import DEADLINE_TAG, RUN_TAG
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dayfly.aws.base import BaseStack
    from dayfly.aws.client import Aws


@dataclass(frozen=True, kw_only=True)
class BatchEnvironment:
    """A compute environment: how many processors it may have at once, and wants just now."""

    name: str
    kind: str
    """Batch's word: EC2 or SPOT."""
    state: str
    status: str
    """Batch's words: ENABLED, and VALID where all is well."""
    max_vcpus: int
    vcpus: int
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class BatchQueue:
    """A queue of jobs."""

    name: str
    state: str
    status: str


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """A job that is alive. `counts` is its children by Batch's own words, where it is an array."""

    job_id: str
    name: str
    sweep_id: str
    status: str
    deadline: str
    """UTC, in ISO 8601."""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BatchStatus:
    """What stands for sweeps, and what lives. `problem` says why it cannot be known, where it cannot."""

    environments: tuple[BatchEnvironment, ...] = ()
    queues: tuple[BatchQueue, ...] = ()
    jobs: tuple[BatchJob, ...] = ()
    problem: str = ""


def load_batch_status(aws: Aws, base: BaseStack) -> BatchStatus | None:
    """Look at Batch; None for a base stack without it. What cannot be known has its problem said."""
    if not base.batch_queue:
        return None
    try:
        return _look(aws, base)
    except AwsError as error:  # who may not look, or asks too often, sees all the rest
        return BatchStatus(problem=error.what)


def _look(aws: Aws, base: BaseStack) -> BatchStatus:
    queues = [base.batch_queue, base.batch_spot_queue]
    names = [queue.rpartition("/")[2] for queue in queues]  # each environment has its queue's name
    found = aws.batch.describe_compute_environments(computeEnvironments=names)["computeEnvironments"]
    resources = [one.get("computeResources", {}) for one in found]
    return BatchStatus(
        environments=tuple(
            BatchEnvironment(
                name=one["computeEnvironmentName"],
                kind=has.get("type", ""),
                state=one.get("state", ""),
                status=one.get("status", ""),
                max_vcpus=int(has.get("maxvCpus", 0)),
                vcpus=int(has.get("desiredvCpus", 0)),
                reason="" if one.get("status") == "VALID" else one.get("statusReason", ""),
            )
            for one, has in zip(found, resources, strict=True)
        ),
        queues=tuple(
            BatchQueue(name=one["jobQueueName"], state=one["state"], status=one.get("status", ""))
            for one in aws.batch.describe_job_queues(jobQueues=queues)["jobQueues"]
        ),
        jobs=tuple(
            BatchJob(
                job_id=one.job_id,
                name=one.name,
                sweep_id=one.tags.get(RUN_TAG, ""),
                status=one.status,
                deadline=one.tags.get(DEADLINE_TAG, ""),
                counts=one.counts,
            )
            for one in list_open_jobs(aws, base.project)
        ),
    )

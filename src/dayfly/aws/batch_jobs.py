"""The sweeps that Batch still has, by its queues: for whoever looks after the whole project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dayfly.aws.client import Aws
from dayfly.aws.names import PROJECT_TAG, base_stack_name
from dayfly.errors import AwsError

_OPEN: tuple[Literal["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"], ...] = (
    "SUBMITTED",
    "PENDING",
    "RUNNABLE",
    "STARTING",
    "RUNNING",
)
_JOBS_A_CALL = 100
_DENIED = frozenset({"AccessDeniedException", "AccessDenied"})


@dataclass(frozen=True, kw_only=True)
class OpenJob:
    """A job, or array job, that has not ended."""

    job_id: str
    name: str
    status: str
    tags: Mapping[str, str]
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of an array: its children by Batch's own words."""


def find_queues(aws: Aws, project: str) -> list[str]:
    """The project's queues; none without Batch, and none for whoever may not look at Batch."""
    names = [base_stack_name(project), f"{base_stack_name(project)}-spot"]
    try:
        found = aws.batch.describe_job_queues(jobQueues=names)["jobQueues"]
    except AwsError as error:
        if error.code in _DENIED:
            return []
        raise
    return [one["jobQueueName"] for one in found if one.get("tags", {}).get(PROJECT_TAG) == project]


def list_open_jobs(aws: Aws, project: str) -> list[OpenJob]:
    """The project's jobs that have not ended: five calls a queue, and one for a hundred jobs."""
    found = list(dict.fromkeys(one for queue in find_queues(aws, project) for one in _ids(aws, queue)))
    jobs: list[OpenJob] = []
    for start in range(0, len(found), _JOBS_A_CALL):
        for job in aws.batch.describe_jobs(jobs=found[start : start + _JOBS_A_CALL])["jobs"]:
            tags = job.get("tags", {})
            if tags.get(PROJECT_TAG) == project and job["status"] in _OPEN:
                counts = job.get("arrayProperties", {}).get("statusSummary", {})
                jobs.append(
                    OpenJob(
                        job_id=job["jobId"],
                        name=job["jobName"],
                        status=job["status"],
                        tags=tags,
                        counts={state: number for state, number in counts.items() if number},
                    )
                )
    return jobs


def _ids(aws: Aws, queue: str) -> Iterator[str]:
    for status in _OPEN:
        pages = aws.batch.get_paginator("list_jobs").paginate(jobQueue=queue, jobStatus=status)
        for page in pages:
            yield from (job["jobId"] for job in page["jobSummaryList"])

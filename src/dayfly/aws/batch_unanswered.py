"""Array jobs whose SubmitJob has not been answered: looked for in Batch by their names, and taken up.

A record names its array jobs before they are submitted. One that has no id is being submitted just now, or
its client was killed, or the answer was lost: until Batch has been asked in vain for long enough, its points
count as under way.
"""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.aws.base import BaseStack
from dayfly.aws.batch_deadline import aim_sweep
from dayfly.aws.client import Aws
from dayfly.runs.batch_record import ArrayJob, BatchSubmission, load_submissions, record_key
from dayfly.runs.store import Store

UNANSWERED_S = 600.0
"""A submission takes seconds, and an answer a minute at most: what is not there after so long never comes."""
_UNKNOWN = "dayfly: it was submitted twice, or nothing would end it"
_ENDED = frozenset({"SUCCEEDED", "FAILED"})


@dataclass(frozen=True, kw_only=True)
class FoundJob:
    """A job that Batch has by a name that we gave."""

    job_id: str
    ended: bool


def find_job(aws: Aws, record: BatchSubmission, array: ArrayJob) -> FoundJob | None:
    """The job of this name in its queue; of those made twice the first stays. Raises AwsError."""
    queue = record.queue
    pages = aws.batch.get_paginator("list_jobs").paginate(
        jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [array.name]}]
    )
    jobs = [job for page in pages for job in page["jobSummaryList"] if job["jobName"] == array.name]
    jobs.sort(key=lambda job: job.get("createdAt", 0))
    for job in jobs[1:]:
        if job.get("status") not in _ENDED:
            aws.batch.terminate_job(jobId=job["jobId"], reason=_UNKNOWN)
    if not jobs:
        return None
    return FoundJob(job_id=jobs[0]["jobId"], ended=jobs[0].get("status") in _ENDED)


def adopt_unanswered(
    aws: Aws, base: BaseStack, store: Store, sweep_id: str, *, aim: bool = True
) -> list[BatchSubmission]:
    """The submissions of a sweep, with the ids that were not answered, as far as Batch has them by now.

    `aim` points their deadlines at them; a job that nothing would end is ended. Asks Batch only where an id
    is missing. Raises AwsError and StoreError.
    """
    return [
        _adopt(aws, base, store, record, aim=aim)
        if any(not array.job_id and not array.ended for array in record.arrays)
        else record
        for record in load_submissions(store, sweep_id)
    ]


def _adopt(aws: Aws, base: BaseStack, store: Store, record: BatchSubmission, *, aim: bool) -> BatchSubmission:
    key = record_key(record.sweep_id, record.number)
    late = (aws.now() - record.created).total_seconds() > UNANSWERED_S
    for place, array in enumerate(record.arrays):
        if array.job_id or array.ended:
            continue
        found = find_job(aws, record, array)
        if found is None and not late:
            continue
        changed = {"ended": "never_submitted"} if found is None else {"job_id": found.job_id}
        record = with_array(record, place, array.model_copy(update=changed))
        store.put(key, record.to_bytes())
        if found is None or found.ended or not aim:
            continue
        try:
            aim_sweep(aws, base, name=array.schedule, job_id=found.job_id, deadline=record.deadline)
        except BaseException:
            aws.batch.terminate_job(jobId=found.job_id, reason=_UNKNOWN)
            raise
    return record


def with_array(record: BatchSubmission, place: int, array: ArrayJob) -> BatchSubmission:
    """The record with another array job at this place."""
    arrays = (*record.arrays[:place], array, *record.arrays[place + 1 :])
    return record.model_copy(update={"arrays": arrays})

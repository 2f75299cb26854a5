"""Submitting what was planned of a sweep to AWS Batch, so that no job is there that nobody knows of.

SubmitJob knows no token that would make a second call the same job: it is called once, and where its answer
is lost, Batch is asked for a job of that name (see `batch_unanswered`).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from dayfly.aws.base import BaseStack
from dayfly.aws.batch_deadline import aim_sweep, arm_sweep
from dayfly.aws.batch_plan import BatchPlan
from dayfly.aws.batch_unanswered import find_job, with_array
from dayfly.aws.client import Aws
from dayfly.aws.translate import is_transient, never_arrived
from dayfly.errors import AwsError, StoreError
from dayfly.runner.signals import defer_signals
from dayfly.runs.batch_record import ArrayJob, BatchSubmission, record_key
from dayfly.runs.store import Store

STOPPED = "dayfly: the sweep was stopped"
RETRIED = (
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onReason": "*", "action": "EXIT"},
)
"""As the model of the job definition has it: what names a number of attempts must name the rules as well."""
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before the next call, where the one before was not taken."""


def apply_submission(
    aws: Aws, base: BaseStack, store: Store, plan: BatchPlan, definition: str
) -> BatchSubmission:
    """Submit the array jobs of a plan, each with its deadline. Raises AwsError and StoreError.

    What was submitted until then goes on; what was not asked for is noted so, and is open again at once.
    A Ctrl-C is heeded between two array jobs.
    """
    record = plan.record.model_copy(update={"definition": definition})
    store.put(record_key(record.sweep_id, record.number), record.to_bytes())
    unasked = 0
    try:
        for place, array in enumerate(plan.record.arrays):
            arm_sweep(aws, base, name=array.schedule, deadline=record.deadline)
            request = _request(plan, record, array, store.url)
            for pause_s in (*_PAUSES_S, None):
                unasked = place + 1
                try:
                    with defer_signals():
                        record = _submit(aws, base, store, record, place, request)
                except AwsError as error:
                    if never_arrived(error) or not is_transient(error):
                        unasked = place
                    if pause_s is None or not never_arrived(error):
                        raise
                    aws.sleep(pause_s)
                else:
                    break
    except BaseException:
        with suppress(AwsError, StoreError):  # what is not noted is looked for in Batch, and found absent
            _note_unasked(store, record, unasked)
        raise
    return record


def _submit(  # noqa: PLR0913, PLR0917 -- an array job, and where it goes
    aws: Aws, base: BaseStack, store: Store, record: BatchSubmission, place: int, request: Any
) -> BatchSubmission:
    """Submit one array job, write down its id and aim its deadline: all of it, or the job is ended."""
    array = record.arrays[place]
    try:
        job_id = aws.batch_once.submit_job(**request)["jobId"]
    except AwsError as error:
        if never_arrived(error) or not is_transient(error):
            raise
        job_id = _find_answer(aws, record, array, error)
    record = with_array(record, place, array.model_copy(update={"job_id": job_id}))
    try:
        store.put(record_key(record.sweep_id, record.number), record.to_bytes())
        aim_sweep(aws, base, name=array.schedule, job_id=job_id, deadline=record.deadline)
    except BaseException:
        # A job that nobody knows of, or that nothing would end, does not stay.
        aws.batch.terminate_job(jobId=job_id, reason=STOPPED)
        raise
    return record


def _find_answer(aws: Aws, record: BatchSubmission, array: ArrayJob, error: AwsError) -> str:
    """The id that was not answered. Raises AwsError when Batch does not show such a job, or not yet."""
    found = None
    with suppress(AwsError):  # what follows the sweep asks again
        found = find_job(aws, record, array)
    if found is not None:
        return found.job_id
    raise AwsError(
        f"AWS Batch has not answered whether it took {array.name}.",
        why=error.why or error.what,
        hint=f"Until that is known, its points count as under way; look in ten minutes, "
        f"or end what there is: dayfly show {record.sweep_id}, dayfly stop {record.sweep_id}",
        code=error.code,
        operation=error.operation,
    ) from error


def _note_unasked(store: Store, record: BatchSubmission, first: int) -> None:
    arrays = tuple(
        one.model_copy(update={"ended": "never_submitted"}) if place >= first and not one.job_id else one
        for place, one in enumerate(record.arrays)
    )
    if arrays != record.arrays:
        changed = record.model_copy(update={"arrays": arrays})
        store.put(record_key(record.sweep_id, record.number), changed.to_bytes())


def _request(plan: BatchPlan, record: BatchSubmission, array: ArrayJob, store_url: str) -> Any:
    environment = {
        "DAYFLY_STORE": store_url,
        "DAYFLY_SWEEP": record.sweep_id,
        "DAYFLY_SUBMISSION": str(record.number),
        "DAYFLY_FIRST_CHILD": str(array.first),
        "DAYFLY_DEADLINE_EPOCH": str(int(record.deadline.timestamp())),
        "DAYFLY_TIMEOUT": f"{record.timeout_s:g}",
        "AWS_REGION": record.region,
    }
    needs = (("VCPU", record.vcpus), ("MEMORY", record.memory_mib))
    return {
        "jobName": array.name,
        "jobQueue": record.queue,
        "jobDefinition": record.definition,
        **({"arrayProperties": {"size": array.size}} if array.size > 1 else {}),
        "timeout": {"attemptDurationSeconds": max(int(record.attempt_s), 60)},
        "retryStrategy": {"attempts": record.attempts, "evaluateOnExit": RETRIED},
        "containerOverrides": {
            "environment": [{"name": name, "value": value} for name, value in environment.items()],
            "resourceRequirements": [{"type": kind, "value": str(value)} for kind, value in needs],
        },
        "propagateTags": True,
        "tags": plan.tags,
    }

"""Sweeps on AWS Batch: submitted as array jobs, followed, ended.

Submitting makes two objects and, for each ten thousand points, three calls. What became of the points is in
the store, as for every run; Batch is asked only what it has not begun yet.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from dayfly.aws.base import BaseStack
from dayfly.aws.batch_deadline import REASON
from dayfly.aws.batch_follow import ArrayStatus, follow_sweep
from dayfly.aws.batch_plan import QUEUE_BUDGET_S, Agreed, BatchPlan, BatchWish, plan_batch
from dayfly.aws.batch_spent import begun_attempts, spent_on
from dayfly.aws.batch_submit import STOPPED, apply_submission
from dayfly.aws.batch_unanswered import adopt_unanswered
from dayfly.aws.client import Aws
from dayfly.aws.deadline import disarm_deadline
from dayfly.aws.names import PROJECT_TAG
from dayfly.errors import AwsError
from dayfly.runs import layout
from dayfly.runs.batch_record import BatchSubmission, children_of, load_submissions, record_key
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, encode_points
from dayfly.runs.sweep_batch import BATCH, children_key, encode_children
from dayfly.runs.sweep_states import list_attempts, load_again, open_points

QUEUE_TIMED_OUT = "dayfly: queue_timed_out"
_ABANDONED_S = 600.0
"""Between the two objects of a submission there is one request: who takes so long for it is gone."""
_BEGUN = ("STARTING", "RUNNING", "SUCCEEDED", "FAILED")
_FROM_MODEL = (
    "type",
    "retryStrategy",
    "timeout",
    "platformCapabilities",
    "propagateTags",
    "containerProperties",
)


def plan_sweep_submission(  # noqa: PLR0913, PLR0917 -- what Batch is asked
    aws: Aws,
    base: BaseStack,
    store: Store,
    sweep: SweepRequest,
    points: Sequence[Point],
    again: Collection[int] = (),
    *,
    spot: bool = False,
    queue_budget_s: float = QUEUE_BUDGET_S,
    environ: Mapping[str, str] = os.environ,
    owner: str = "",
) -> BatchPlan | None:
    """What would be submitted of a sweep, which need not be in the store yet; None when nothing is open.

    `again` are settled points that are to be asked for once more. Raises AwsError, StoreError and UsageError.
    """
    records = adopt_unanswered(aws, base, store, sweep.sweep_id)
    found = follow_sweep(aws, store, sweep.sweep_id, records)
    wanted = _open(store, sweep, points, found, again, aws.now())
    if not wanted:
        return None
    wish = BatchWish(
        spot=spot,
        number=_next_number(store, sweep.sweep_id, records, aws.now()),
        queue_budget_s=queue_budget_s,
        owner=owner,
        spent=_spent(aws, store, sweep, found),
    )
    return plan_batch(aws, base, sweep, wanted, wish, environ=environ)


def submit_sweep(  # noqa: PLR0913 -- what Batch is asked
    aws: Aws,
    base: BaseStack,
    store: Store,
    sweep: SweepRequest,
    points: Sequence[Point],
    *,
    spot: bool = False,
    queue_budget_s: float = QUEUE_BUDGET_S,
    environ: Mapping[str, str] = os.environ,
    owner: str = "",
    agreed: Agreed | None = None,
) -> BatchSubmission | None:
    """Submit the open points of a sweep that the store has; None when there are none.

    What a job that has not ended will still do is not submitted again, and nothing is when it has become more
    than what was `agreed` to (None: nobody was asked). Raises AwsError, StoreError and
    UsageError: what was submitted until then is in the store's record, and goes on.
    """
    plan = plan_sweep_submission(
        aws,
        base,
        store,
        sweep,
        points,
        spot=spot,
        queue_budget_s=queue_budget_s,
        environ=environ,
        owner=owner,
    )
    if plan is None:
        return None
    if agreed is not None:
        agreed.require(plan)
    definition = _definition(aws, base, plan.image)
    # Two clients that submit at once: the second finds that the number is taken.
    if not store.create(
        children_key(sweep.sweep_id, plan.record.number), encode_children(encode_points(points), plan.wanted)
    ):
        raise AwsError(
            f"Somebody else is submitting {sweep.sweep_id} just now.",
            hint=f"See how it goes: dayfly show {sweep.sweep_id}",
        )
    return apply_submission(aws, base, store, plan, definition)


def _spent(aws: Aws, store: Store, sweep: SweepRequest, followed: Sequence[ArrayStatus]) -> Decimal:
    """Dollars of before; nobody counts them where there is no limit."""
    if sweep.max_cost is None or not followed:
        return Decimal(0)
    begun_in = partial(begun_attempts, aws)
    return spent_on(store, sweep.sweep_id, sweep.count, followed, begun_in, now=aws.now())


def _next_number(store: Store, sweep_id: str, records: Sequence[BatchSubmission], now: datetime) -> int:
    """The number after those that have a record; one whose client ended before is passed over."""
    taken = {one.number for one in records}
    for entry in store.list(layout.sweep_key(sweep_id, BATCH)):
        name = entry.key.rpartition("/")[2]
        if name.endswith(".children") and (now - entry.modified).total_seconds() > _ABANDONED_S:
            taken.add(int(name.partition(".")[0]))
    return max(taken, default=0) + 1


def _open(  # noqa: PLR0913, PLR0917 -- what there is, and what is known of it
    store: Store,
    sweep: SweepRequest,
    points: Sequence[Point],
    followed: Sequence[ArrayStatus],
    again: Collection[int],
    now: datetime,
) -> list[tuple[int, int]]:
    attempts = list_attempts(store, sweep.sweep_id, sweep.count, now=now)
    asked = load_again(store, sweep.sweep_id) + Counter(again)
    found = open_points(sweep, points, attempts, asked)
    under_way = {
        index
        for one in followed
        if not one.ended  # one that has not answered may be at work
        for index, _ in children_of(store, one.submission, one.array)
    }
    return [one for one in found if one[0] not in under_way]


def _definition(aws: Aws, base: BaseStack, image: str) -> str:
    """The ARN of a job definition of this image: one that is there, or a new revision made of the model."""
    [model] = aws.batch.describe_job_definitions(jobDefinitions=[base.batch_job_definition])["jobDefinitions"]
    wanted: dict[str, Any] = {name: model[name] for name in _FROM_MODEL if name in model}  # type: ignore[literal-required]
    wanted["containerProperties"] = {**wanted["containerProperties"], "image": image}
    name = f"{base.batch_queue.rpartition('/')[2]}-sweep"
    pages = aws.batch.get_paginator("describe_job_definitions").paginate(
        jobDefinitionName=name, status="ACTIVE"
    )
    for page in pages:
        for one in page["jobDefinitions"]:
            if all(one.get(part) == value for part, value in wanted.items()):
                return one["jobDefinitionArn"]
    made = aws.batch.register_job_definition(
        jobDefinitionName=name, tags={PROJECT_TAG: base.project}, **wanted
    )
    return made["jobDefinitionArn"]


def stop_sweep(aws: Aws, base: BaseStack, store: Store, sweep_id: str, *, by: str = "") -> list[ArrayStatus]:
    """End a sweep: what runs is cancelled, what waits never begins. Returns the array jobs that were ended.

    Raises AwsError and StoreError. Stopping twice is no error.
    """
    said = json.dumps({"at": aws.now().isoformat(), "by": by}) + "\n"
    store.create(layout.sweep_key(sweep_id, layout.STOP), said.encode())
    records = adopt_unanswered(aws, base, store, sweep_id, aim=False)
    found = follow_sweep(aws, store, sweep_id, records)
    ended = [one for one in found if one.array.job_id and not one.ended]
    for one in ended:
        aws.batch.terminate_job(jobId=one.array.job_id, reason=STOPPED)
        disarm_deadline(aws, base, name=one.array.schedule)
    _note_asked(store, sweep_id, {one.array.job_id for one in ended}, "stopped")
    return ended


def _note_asked(store: Store, sweep_id: str, job_ids: set[str], why: str) -> None:
    """Batch does not say of an array job why it was ended: whoever asks for it says so in the record."""
    for record in load_submissions(store, sweep_id):
        arrays = tuple(
            one.model_copy(update={"asked": one.asked or why}) if one.job_id in job_ids else one
            for one in record.arrays
        )
        if arrays != record.arrays:
            changed = record.model_copy(update={"arrays": arrays})
            store.put(record_key(sweep_id, record.number), changed.to_bytes())


def settle_sweep(aws: Aws, base: BaseStack, store: Store, sweep_id: str) -> list[ArrayStatus]:
    """Follow a sweep, cancel what never starts, and note what has ended. Returns what `follow_sweep` does.

    The queue itself cancels what heads it and finds no machine, whether anybody looks or not; this is for a
    submission of which nothing has begun within its queue budget, whatever the reason.
    """
    found = follow_sweep(aws, store, sweep_id, adopt_unanswered(aws, base, store, sweep_id))
    now = aws.now()
    for one in found:
        waited = (now - one.submission.created).total_seconds()
        begun = any(state in one.counts for state in _BEGUN)
        if one.status and not one.ended and not begun and waited > one.submission.queue_budget_s:
            aws.batch.terminate_job(jobId=one.array.job_id, reason=QUEUE_TIMED_OUT)
            _note_asked(store, sweep_id, {one.array.job_id}, "queue_timed_out")
    if any(one.ended and not one.array.ended for one in found):
        found = follow_sweep(aws, store, sweep_id)
    for record in {one.submission.number: one.submission for one in found}.values():
        _note_ends(aws, base, store, record, [one for one in found if one.submission is record])
    return found


def _note_ends(
    aws: Aws, base: BaseStack, store: Store, record: BatchSubmission, found: Sequence[ArrayStatus]
) -> None:
    arrays = tuple(
        one.array.model_copy(update={"ended": _how(aws, one)})
        if one.ended and not one.array.ended
        else one.array
        for one in found
    )
    if arrays == record.arrays:
        return
    store.put(
        record_key(record.sweep_id, record.number), record.model_copy(update={"arrays": arrays}).to_bytes()
    )
    for before, after in zip(record.arrays, arrays, strict=True):
        if after.ended and not before.ended:
            disarm_deadline(aws, base, name=after.schedule)


def _how(aws: Aws, one: ArrayStatus) -> str:
    """How an array job ended: as we have asked, or as its last child says; a child of each end is enough."""
    if one.array.asked or not one.counts.get("FAILED"):
        return one.array.asked or "done"
    reason = one.reason
    if one.array.size > 1:
        last = f"{one.array.job_id}:{one.array.size - 1}"
        reason = next(
            (job.get("statusReason", "") for job in aws.batch.describe_jobs(jobs=[last])["jobs"]), ""
        )
    if reason == REASON:
        return "deadline"
    return "queue_timed_out" if "JobStateTimeLimit" in reason else "done"

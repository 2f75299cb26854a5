"""How far the array jobs of a sweep are, by Batch's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dayfly.aws.client import Aws
from dayfly.runs.batch_record import ArrayJob, BatchSubmission, load_submissions
from dayfly.runs.store import Store

if TYPE_CHECKING:
    from mypy_boto3_batch.type_defs import JobDetailTypeDef

_JOBS_A_CALL = 100
_ENDED = frozenset({"SUCCEEDED", "FAILED"})


@dataclass(frozen=True, kw_only=True)
class ArrayStatus:
    """How far an array job is. `counts` is children by Batch's own words (RUNNABLE, RUNNING, …)."""

    array: ArrayJob
    submission: BatchSubmission
    status: str
    """Batch's word; empty for a job that Batch no longer knows (it forgets them in time), or never did."""
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether no child will run any more. A job that has not answered has not ended: it may be there."""
        forgotten = not self.status and bool(self.array.job_id)
        return self.status in _ENDED or forgotten or bool(self.array.ended)


def follow_sweep(
    aws: Aws, store: Store, sweep_id: str, records: Sequence[BatchSubmission] | None = None
) -> list[ArrayStatus]:
    """How far the array jobs of a sweep are: one call for a hundred of them."""
    records = load_submissions(store, sweep_id) if records is None else records
    known = [(record, array) for record in records for array in record.arrays]
    asked = [array.job_id for _, array in known if array.job_id and not array.ended]
    said: dict[str, JobDetailTypeDef] = {}
    for start in range(0, len(asked), _JOBS_A_CALL):
        found = aws.batch.describe_jobs(jobs=asked[start : start + _JOBS_A_CALL])["jobs"]
        said |= {job["jobId"]: job for job in found}
    return [_status(record, array, said.get(array.job_id)) for record, array in known]


def _status(record: BatchSubmission, array: ArrayJob, said: JobDetailTypeDef | None) -> ArrayStatus:
    if said is None:
        return ArrayStatus(array=array, submission=record, status="")
    counts = said.get("arrayProperties", {}).get("statusSummary") or {said["status"]: 1}
    return ArrayStatus(
        array=array,
        submission=record,
        status=said["status"],
        reason=said.get("statusReason", ""),
        counts={state: number for state, number in counts.items() if number},
    )

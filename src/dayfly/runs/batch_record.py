"""What was submitted to AWS Batch for a sweep: `sweeps/<sweep-id>/batch/<NNN>.json`, rewritten as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import AwareDatetime

from dayfly.runs import layout
from dayfly.runs.model import Model, parse_model
from dayfly.runs.store import Store
from dayfly.runs.sweep_batch import BATCH, WIDTH, children_key, decode_child


class ArrayJob(Model):
    """One array job; a single point is a job without an array."""

    name: str
    schedule: str
    """Of its deadline, in the project's schedule group."""
    first: int
    """Its first child, counted over the submission."""
    size: int
    job_id: str = ""
    """Empty until Batch has said it; while `ended` is empty too, the job may be there all the same."""
    asked: Literal["", "stopped", "queue_timed_out"] = ""
    """Why we have asked Batch to end it."""
    ended: Literal["", "done", "stopped", "deadline", "queue_timed_out", "never_submitted"] = ""
    """How it was seen to end, or that it never was."""


class BatchSubmission(Model):
    """One submission of a sweep's open points. Durations are seconds, money is dollars, times are UTC."""

    version: Literal[1] = 1
    sweep_id: str
    number: int
    created: AwareDatetime
    project: str
    region: str
    queue: str
    definition: str
    spot: bool
    vcpus: int
    memory_mib: int
    timeout_s: float
    """The notebooks' time."""
    attempt_s: float
    """After so long Batch ends an attempt."""
    attempts: int = 3
    """How often Batch may begin a point."""
    queue_budget_s: float
    deadline: AwareDatetime
    price_per_hour: Decimal | None = None
    """The dearest that one point can cost; None where no price was known."""
    most_cost: Decimal | None = None
    """Dollars when every point takes all of its time, as often as it may."""
    owner: str = ""
    arrays: tuple[ArrayJob, ...]

    def may_begin(self, now: datetime) -> bool:
        """Whether a point of it may still begin: its job goes on, and the deadline is to come."""
        return now < self.deadline and not all(array.ended for array in self.arrays)


def record_key(sweep_id: str, number: int) -> str:
    """The key of a submission's record, from 1."""
    return layout.sweep_key(sweep_id, f"{BATCH}/{number:03d}.json")


def load_submissions(store: Store, sweep_id: str) -> list[BatchSubmission]:
    """What was submitted for a sweep, oldest first."""
    folder = layout.sweep_key(sweep_id, BATCH)
    keys = sorted(entry.key for entry in store.list(folder) if entry.key.endswith(".json"))
    found = ((key, store.get(key)) for key in keys)
    return [parse_model(BatchSubmission, content, key) for key, content in found if content is not None]


def children_of(store: Store, record: BatchSubmission, array: ArrayJob) -> Iterator[tuple[int, int]]:
    """The points of an array job, each with the number of its first attempt there."""
    start, end = array.first * WIDTH, (array.first + array.size) * WIDTH
    found = store.get_range(children_key(record.sweep_id, record.number), start, end)
    for at in range(0, len(found), WIDTH):
        child = decode_child(found[at : at + WIDTH])
        yield child.index, child.attempt

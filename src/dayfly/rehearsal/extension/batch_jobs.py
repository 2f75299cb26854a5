"""The jobs of the emulated AWS Batch, and how far they are (see `batch`)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from .world import WORLD

Body = dict[str, Any]
ENDED = {"SUCCEEDED", "FAILED"}


@dataclass
class Job:
    """A job, or a child of an array job: what is run, and how far it is."""

    job_id: str
    asked: Body
    definition: Body
    queue: Body
    place: tuple[str, str]
    """Account and region."""
    index: int | None = None
    status: str = "RUNNABLE"
    reason: str = ""
    created: float = field(default_factory=WORLD.now)
    attempts: list[Body] = field(default_factory=list)
    container: str = ""
    started: float = 0.0
    ending: str = ""
    """Why the container is being ended, when it does not end itself."""
    terminated: bool = False
    children: list[Job] = field(default_factory=list)

    @property
    def state(self) -> str:
        """An array job's is that of its children."""
        if not self.children:
            return self.status
        states = {one.status for one in self.children}
        if not states <= ENDED:
            return "PENDING"
        return "FAILED" if "FAILED" in states else "SUCCEEDED"

    @property
    def properties(self) -> Body:
        """The definition's container, with what the submission has overridden."""
        said = self.asked.get("containerOverrides") or {}
        base = dict(self.definition["containerProperties"])
        for name in ("environment", "resourceRequirements"):
            key = "name" if name == "environment" else "type"
            merged = {one[key]: one for one in [*(base.get(name) or []), *(said.get(name) or [])]}
            base[name] = list(merged.values())
        return base | ({"command": said["command"]} if said.get("command") else {})

    @property
    def retry(self) -> Body:
        """The submission's retry strategy, or the definition's."""
        found: Body = self.asked.get("retryStrategy") or self.definition.get("retryStrategy") or {}
        return found

    def need(self, kind: str) -> int:
        """How many processors (VCPU) or MiB (MEMORY)."""
        return next(
            (
                int(float(one["value"]))
                for one in self.properties["resourceRequirements"]
                if one["type"] == kind
            ),
            1,
        )


JOBS: dict[str, Job] = {}
LOCK = threading.RLock()
LOSSES: list[Body] = []
"""Children whose machine breaks once they run: {"name": pattern, "index": n or None, "after": attempts}."""
IMAGES: dict[str, str] = {}
"""What the engine calls an image that a definition names by its place in ECR."""


def arn_of(job: Job) -> str:
    """A job's name in policies."""
    account, region = job.place
    return f"arn:aws:batch:{region}:{account}:job/{job.job_id}"


def find_job(job_id: str) -> Job | None:
    """A job, or a child by its parent's id and its index."""
    parent = JOBS.get(job_id.partition(":")[0])
    if parent is None or ":" not in job_id:
        return parent
    return parent.children[int(job_id.partition(":")[2])]


def all_jobs() -> list[Job]:
    """All that run or wait: jobs without children, and children."""
    return [one for job in list(JOBS.values()) for one in (job.children or [job])]


def name_of(reference: str) -> str:
    """The name in an ARN."""
    return reference.rpartition("/")[2]


def end_job(job: Job, status: str, reason: str) -> None:
    """It has come to its end."""
    job.status, job.reason = status, reason

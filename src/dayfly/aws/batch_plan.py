"""A sweep on AWS Batch as it would be submitted: found out, checked and priced; nothing is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count

from dayfly.aws.base import BaseStack
from dayfly.aws.batch_cost import PriceBound, most_cost, price_bound, timeout_within
from dayfly.aws.cache import open_cache
from dayfly.aws.client import Aws
from dayfly.aws.deadline import DEFAULT_TIMEOUT_S, SAVE_MARGIN_S
from dayfly.aws.instance_types import load_instance_types
from dayfly.aws.names import DEADLINE_TAG, OWNER_TAG, PROJECT_TAG, RUN_TAG, TASK_TAG, tag_value
from dayfly.aws.prices import load_prices, load_spot_prices
from dayfly.errors import AwsError, UsageError
from dayfly.runs.batch_record import ArrayJob, BatchSubmission
from dayfly.runs.sweep import SweepRequest

MOST_CHILDREN = 10_000
"""Of one array job (Service quotas of AWS Batch)."""
QUEUE_BUDGET_S = 3600.0
"""How long a sweep may wait for its first machine."""
LONGEST = timedelta(days=14)
MEMORY_MIB_A_VCPU = 1800
"""What a point has for each processor where nothing is said: so that two fit the smallest machine of two."""


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """What would be submitted. `wanted` is points and attempts, in the order of the children."""

    sweep: SweepRequest
    image: str
    """By digest."""
    wanted: tuple[tuple[int, int], ...]
    record: BatchSubmission
    bound: PriceBound | None
    shortened_from_s: float | None = None
    """The notebooks' time that was asked for, where the cost allows less."""

    @property
    def tags(self) -> dict[str, str]:
        """Of each job, and of the tasks it becomes."""
        record = self.record
        return {
            PROJECT_TAG: record.project,
            RUN_TAG: record.sweep_id,
            OWNER_TAG: tag_value(record.owner),
            DEADLINE_TAG: f"{record.deadline:%Y-%m-%dT%H:%M:%SZ}",
            TASK_TAG: "sweep",
        }


def require_batch(base: BaseStack) -> None:
    """Raise UsageError for a base stack without Batch."""
    if not base.batch_queue:
        raise UsageError(
            "The base stack has nothing for sweeps on AWS Batch.",
            hint="Add it, which is free while no sweep runs: dayfly cloud up --batch",
        )


def plan_batch(  # noqa: PLR0913 -- what is asked of Batch
    aws: Aws,
    base: BaseStack,
    sweep: SweepRequest,
    wanted: Sequence[tuple[int, int]],
    *,
    environ: Mapping[str, str],
    spot: bool = False,
    number: int = 1,
    queue_budget_s: float = QUEUE_BUDGET_S,
    owner: str = "",
) -> BatchPlan:
    """Plan the submission of `wanted`. Raises UsageError for what Batch cannot do or the cost forbids."""
    require_batch(base)
    run = sweep.run
    if run.image is None or run.snapshot is None:
        raise UsageError("A sweep on AWS Batch is of a commit, in an image.")
    if run.gpus:
        raise UsageError(
            "A sweep on AWS Batch has no GPUs yet.", hint="Run it with --on ec2, point by point."
        )
    vcpus = max(math.ceil(run.cpus or 1), 1)
    memory_mib = math.ceil(run.memory_bytes / 2**20) if run.memory_bytes else MEMORY_MIB_A_VCPU * vcpus
    types, most_vcpus = _environment(aws, base, spot=spot)
    if vcpus > most_vcpus:
        raise UsageError(
            f"No point can have {vcpus} processors: all of the sweep may have {most_vcpus}.",
            hint="Allow more: dayfly cloud up --batch-max-vcpus",
        )
    bound = _find_bound(aws, types, environ, spot=spot, vcpus=vcpus, memory_bytes=memory_mib << 20)
    asked_s = run.timeout_s or DEFAULT_TIMEOUT_S
    beside_s = run.grace_s + SAVE_MARGIN_S
    timeout_s = asked_s
    if sweep.max_cost is not None:
        timeout_s = timeout_within(
            sweep.max_cost, bound, points=len(wanted), timeout_s=asked_s, beside_s=beside_s
        )
    attempt_s = timeout_s + beside_s
    now = aws.now()
    waves = math.ceil(len(wanted) * vcpus / most_vcpus)
    record = BatchSubmission(
        sweep_id=sweep.sweep_id,
        number=number,
        created=now,
        project=base.project,
        region=base.region,
        queue=base.batch_spot_queue if spot else base.batch_queue,
        definition="",
        spot=spot,
        vcpus=vcpus,
        memory_mib=memory_mib,
        timeout_s=timeout_s,
        attempt_s=attempt_s,
        queue_budget_s=queue_budget_s,
        deadline=_deadline(now, queue_budget_s + waves * attempt_s),
        price_per_hour=bound.per_hour if bound else None,
        most_cost=most_cost(bound, len(wanted), attempt_s) if bound else None,
        owner=owner,
        arrays=tuple(_arrays(sweep.sweep_id, number, len(wanted))),
    )
    return BatchPlan(
        sweep=sweep,
        image=run.image.id,
        wanted=tuple(wanted),
        record=record,
        bound=bound,
        shortened_from_s=asked_s if timeout_s < asked_s else None,
    )


def _deadline(now: datetime, seconds: float) -> datetime:
    return (now + min(timedelta(seconds=seconds), LONGEST)).replace(microsecond=0)


def _arrays(sweep_id: str, number: int, children: int) -> list[ArrayJob]:
    """As few array jobs as Batch allows."""
    starts = range(0, children, MOST_CHILDREN)
    return [
        ArrayJob(
            name=f"dayfly-{sweep_id}-{number}-{array}",
            schedule=f"{sweep_id}-{number}-{array}",
            first=first,
            size=min(MOST_CHILDREN, children - first),
        )
        for array, first in zip(count(1), starts, strict=False)
    ]


def _environment(aws: Aws, base: BaseStack, *, spot: bool) -> tuple[tuple[str, ...], int]:
    """Which types Batch may take, and how many processors it may have at once."""
    queue = base.batch_spot_queue if spot else base.batch_queue
    name = queue.rpartition("/")[2]  # the environment has its queue's name
    found = aws.batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]
    if not found or "computeResources" not in found[0]:
        raise AwsError(
            f"There is no compute environment {name}.",
            hint="Bring the base stack up to date: dayfly cloud up",
        )
    resources = found[0]["computeResources"]
    return tuple(resources.get("instanceTypes", ())), int(resources.get("maxvCpus", 0))


def _find_bound(  # noqa: PLR0913 -- what a point needs
    aws: Aws,
    types: Sequence[str],
    environ: Mapping[str, str],
    *,
    spot: bool,
    vcpus: int,
    memory_bytes: int,
) -> PriceBound | None:
    cache = open_cache(aws, environ)
    found = load_spot_prices(aws, cache).prices() if spot else load_prices(aws, cache)
    known = load_instance_types(aws, cache)
    return price_bound(types, known, found, vcpus=vcpus, memory_bytes=memory_bytes)


def dollars_at_most(plan: BatchPlan) -> Decimal | None:
    """What the submission can cost when every point takes all of its time; None where no price is known."""
    return plan.record.most_cost

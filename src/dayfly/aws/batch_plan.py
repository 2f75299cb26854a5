"""A sweep on AWS Batch as it would be submitted: found out, checked and priced; nothing is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from dayfly.aws.base import BaseStack
from dayfly.aws.batch_cost import Limits, PriceBound, limits_within, most_cost, price_bound
from dayfly.aws.cache import open_cache
from dayfly.aws.client import Aws
from dayfly.aws.deadline import DEFAULT_TIMEOUT_S, SAVE_MARGIN_S
from dayfly.aws.instance_types import load_instance_types
from dayfly.aws.money import dollars
from dayfly.aws.names import DEADLINE_TAG, OWNER_TAG, PROJECT_TAG, RUN_TAG, TASK_TAG, tag_value
from dayfly.aws.prices import load_prices, load_spot_prices
from dayfly.errors import AwsError, UsageError
from dayfly.runs.batch_record import ArrayJob, BatchSubmission
from dayfly.runs.request import Request
from dayfly.runs.sweep import SweepRequest

MOST_CHILDREN = 10_000
"""Of one array job (Service quotas of AWS Batch)."""
QUEUE_BUDGET_S = 3600.0
"""How long a sweep may wait for its first machine."""
LONGEST = timedelta(days=14)
MEMORY_MIB_A_VCPU = 1800
"""What a point has for each processor where nothing is said: so that two fit the smallest machine of two."""


@dataclass(frozen=True, kw_only=True)
class BatchWish:
    """What a submission is asked for beside its sweep and its points."""

    spot: bool = False
    number: int = 1
    queue_budget_s: float = QUEUE_BUDGET_S
    owner: str = ""
    spent: Decimal = Decimal(0)
    """Dollars that earlier submissions of the sweep may have cost: they count against its `max_cost`."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a point has."""

    vcpus: int
    memory_mib: int


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
    spent: Decimal = Decimal(0)
    """Dollars that earlier submissions of the sweep may have cost."""

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


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """What somebody has agreed to: so many points, for so much. Nothing was open, where it is of no plan."""

    points: int
    most_cost: Decimal | None
    """Dollars; None where the price was unknown and that was agreed to."""

    @classmethod
    def to(cls, plan: BatchPlan | None) -> Agreed:
        """What agreeing to this plan is."""
        if plan is None:
            return cls(points=0, most_cost=Decimal(0))
        return cls(points=len(plan.wanted), most_cost=plan.record.most_cost)

    def require(self, plan: BatchPlan) -> None:
        """Raise UsageError for a plan that has become more than what was agreed to."""
        cost = plan.record.most_cost
        dearer = self.most_cost is not None and (cost is None or cost > self.most_cost)
        if not dearer and len(plan.wanted) <= self.points:
            return
        now = "unknown" if cost is None else f"{dollars(cost)} for {len(plan.wanted):,}"
        before = "unknown" if self.most_cost is None else f"{dollars(self.most_cost)} for {self.points:,}"
        raise UsageError(
            "What it costs at most has changed since you agreed; nothing was submitted.",
            why=f"It was {before} points, and is {now}.".replace("unknown points", "unknown"),
            hint="Give the command again.",
        )


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
    wish: BatchWish | None = None,
    *,
    environ: Mapping[str, str],
) -> BatchPlan:
    """Plan the submission of `wanted`. Raises UsageError for what Batch cannot do or the cost forbids."""
    asked = wish or BatchWish()
    image, needs = _image_of(base, sweep), _needs_of(sweep.run)
    types, most_vcpus = _environment(aws, base, spot=asked.spot)
    if needs.vcpus > most_vcpus:
        raise UsageError(
            f"No point can have {needs.vcpus} processors: all of the sweep may have {most_vcpus}.",
            hint="Allow more: dayfly cloud up --batch-max-vcpus",
        )
    bound = _find_bound(aws, types, environ, needs, spot=asked.spot)
    wanted_s = sweep.run.timeout_s or DEFAULT_TIMEOUT_S
    limits = limits_within(
        sweep.max_cost,
        bound,
        points=len(wanted),
        timeout_s=wanted_s,
        beside_s=sweep.run.grace_s + SAVE_MARGIN_S,
        spent=asked.spent,
    )
    waves = math.ceil(len(wanted) * needs.vcpus / most_vcpus)
    now = aws.now()
    record = BatchSubmission(
        sweep_id=sweep.sweep_id,
        number=asked.number,
        created=now,
        project=base.project,
        region=base.region,
        queue=base.batch_spot_queue if asked.spot else base.batch_queue,
        definition="",
        spot=asked.spot,
        queue_budget_s=asked.queue_budget_s,
        deadline=_deadline(now, asked.queue_budget_s + waves * limits.attempt_s),
        owner=asked.owner,
        arrays=tuple(_arrays(sweep.sweep_id, asked.number, len(wanted))),
        **_amounts(needs, limits, bound, len(wanted)),
    )
    return BatchPlan(
        sweep=sweep,
        image=image,
        wanted=tuple(wanted),
        record=record,
        bound=bound,
        shortened_from_s=wanted_s if limits.timeout_s < wanted_s else None,
        spent=asked.spent,
    )


def _image_of(base: BaseStack, sweep: SweepRequest) -> str:
    """The image, by digest. Raises UsageError for a sweep that Batch cannot run."""
    require_batch(base)
    run = sweep.run
    if run.image is None or run.snapshot is None:
        raise UsageError("A sweep on AWS Batch is of a commit, in an image.")
    if run.gpus:
        raise UsageError(
            "A sweep on AWS Batch has no GPUs yet.", hint="Run it with --on ec2, point by point."
        )
    return run.image.id


def _needs_of(run: Request) -> Needs:
    vcpus = max(math.ceil(run.cpus or 1), 1)
    memory_mib = math.ceil(run.memory_bytes / 2**20) if run.memory_bytes else MEMORY_MIB_A_VCPU * vcpus
    return Needs(vcpus=vcpus, memory_mib=memory_mib)


def _amounts(needs: Needs, limits: Limits, bound: PriceBound | None, points: int) -> dict[str, Any]:
    """What a record has of time and money."""
    return {
        "vcpus": needs.vcpus,
        "memory_mib": needs.memory_mib,
        "timeout_s": limits.timeout_s,
        "attempt_s": limits.attempt_s,
        "attempts": limits.attempts,
        "price_per_hour": bound.per_hour if bound else None,
        "most_cost": most_cost(bound, points * limits.attempts, limits.attempt_s) if bound else None,
    }


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


def _find_bound(
    aws: Aws, types: Sequence[str], environ: Mapping[str, str], needs: Needs, *, spot: bool
) -> PriceBound | None:
    cache = open_cache(aws, environ)
    found = load_spot_prices(aws, cache).prices() if spot else load_prices(aws, cache)
    known = load_instance_types(aws, cache)
    return price_bound(types, known, found, vcpus=needs.vcpus, memory_bytes=needs.memory_mib << 20)

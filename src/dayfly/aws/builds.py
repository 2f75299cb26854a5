"""The project's image, built and pushed by a machine of its own: the laptop needs no Docker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from dayfly.aws.base import BaseStack
from dayfly.aws.build_context import BuildContext
from dayfly.aws.client import Aws
from dayfly.aws.deadline import deadline_of
from dayfly.aws.hardware import Hardware
from dayfly.aws.image_records import ImageRecord, load_image_record
from dayfly.aws.machine import MachinePlan
from dayfly.aws.publish import repository_tag
from dayfly.aws.tasks import SUCCEEDED, TaskPlace, TaskRequest, find_task, start_task
from dayfly.environment.plan import ImagePlan
from dayfly.errors import ImageError
from dayfly.project.settings import Settings
from dayfly.runs import layout
from dayfly.runs.ids import new_run_id
from dayfly.runs.machine import MachineSource
from dayfly.runs.store import Store

CONTEXT = "context.tar.gz"
TIMEOUT_S = 3600.0
"""What a build may take when nothing is said."""


class BuildRequest(TaskRequest):
    """A build as it was asked for: `builds/<id>/request.json`."""

    build_id: str
    key: str
    """The key of the image's content."""
    tag: str
    """The tag in the repository."""
    platform: str
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """A build as it would be: what is asked, and the machine that does it."""

    request: BuildRequest
    machine: MachinePlan


def build_settings(settings: Settings, *, instance: str | None) -> Settings:
    """The settings for a machine that builds: those of runs are for notebooks, whose needs are others."""
    nothing = {"cpus": None, "memory": None, "gpus": None, "spot": False, "max_cost": None}
    return settings.model_copy(update={**nothing, "instance": instance})


def plan_build(  # noqa: PLR0913 -- what, on what, for whom
    aws: Aws,
    base: BaseStack,
    image: ImagePlan,
    context: BuildContext,
    hardware: Hardware,
    *,
    owner: str,
    boot_budget_s: float,
    timeout_s: float = TIMEOUT_S,
) -> BuildPlan:
    """The machine that would build `image` from `context`. Nothing is made."""
    now = aws.now()
    source = machine_source(
        base, hardware, owner=owner, boot_budget_s=boot_budget_s, timeout_s=timeout_s, now=now
    )
    request = BuildRequest(
        build_id=new_run_id("build", now),
        created=now,
        key=image.key,
        tag=repository_tag(image),
        platform=image.platform,
        timeout_s=timeout_s,
        machine=source,
    )
    return BuildPlan(
        request=request,
        machine=machine_plan(
            base,
            hardware,
            source,
            machine_id=request.build_id,
            task="build",
            work={"ContextSha256": context.sha256},
        ),
    )


def machine_source(  # noqa: PLR0913 -- what a request says of its machine
    base: BaseStack,
    hardware: Hardware,
    *,
    owner: str,
    boot_budget_s: float,
    timeout_s: float,
    now: datetime,
    grace_s: float = 0.0,
    access: bool = False,
) -> MachineSource:
    """What the request of a build or lab says of its machine."""
    return MachineSource(
        project=base.project,
        region=base.region,
        instance_type=hardware.instance_type,
        arch=hardware.arch,
        ami=hardware.ami.id,
        spot=hardware.spot,
        disk_gib=hardware.disk_gib,
        access=access,
        boot_budget_s=boot_budget_s,
        deadline=deadline_of(now, boot_budget_s=boot_budget_s, timeout_s=timeout_s, grace_s=grace_s),
        price_per_hour=hardware.price.per_hour if hardware.price is not None else None,
        price_at=hardware.price.at if hardware.price is not None else None,
        owner=owner,
    )


def machine_plan(  # noqa: PLR0913 -- as above
    base: BaseStack,
    hardware: Hardware,
    source: MachineSource,
    *,
    machine_id: str,
    task: Literal["build", "lab"],
    work: Mapping[str, str],
    ssh_cidr: str = "",
) -> MachinePlan:
    """The machine of a build or lab, ready to be made."""
    return MachinePlan(
        machine_id=machine_id,
        task=task,
        base=base,
        owner=source.owner,
        instance_type=source.instance_type,
        ami=source.ami,
        root_device=hardware.ami.root_device,
        spot=source.spot,
        disk_gib=source.disk_gib,
        access=source.access,
        subnet_ids=hardware.subnet_ids,
        boot_budget_s=source.boot_budget_s,
        deadline=source.deadline,
        ssh_cidr=ssh_cidr,
        work=work,
    )


def start_build(aws: Aws, store: Store, plan: BuildPlan, context: Path) -> TaskPlace:
    """Upload the archive and make the machine; returns when its instance is there. Raises AwsError."""
    store.put(f"{plan.machine.prefix}/{CONTEXT}", context)
    return start_task(aws, store, plan.machine, plan.request)


def find_build(store: Store, build_id: str) -> tuple[BuildRequest, TaskPlace]:
    """A build that somebody has begun. Raises UsageError when there is none of this id."""
    return find_task(store, layout.BUILDS, build_id, BuildRequest)


def finish_build(request: BuildRequest, place: TaskPlace) -> ImageRecord:
    """What a build that has ended made. Raises ImageError when it made nothing."""
    result = place.result()
    if result is None:
        raise ImageError(f"The build {request.build_id} has not ended yet.")
    if result.state != SUCCEEDED:
        raise ImageError(
            f"The image was not built: the build {result.state.replace('_', ' ')}.",
            why=result.message,
            hint="Mend it, and build it again with: dayfly image build --on ec2",
        )
    record = load_image_record(place.store, request.key)
    if record.digest != result.digest:
        raise ImageError(
            f"The build made {result.digest}, and the record is of {record.digest}.",
            why="Another build of the same files was faster; a tag is never moved.",
            hint="Nothing needs to be done: runs use the image of the record.",
        )
    return record

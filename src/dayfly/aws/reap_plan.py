"""What is past its deadline and still there. Only what bears this project's tags is looked at.

The deadline is read from the tag of each thing; without one that can be read, nothing is judged. Ten minutes
of slack are given, so that clocks may differ, and the machine's own ends come first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from dayfly.aws.batch_jobs import list_open_jobs
from dayfly.aws.names import DEADLINE_TAG, PROJECT_TAG, RUN_TAG, base_stack_name, machine_stack_name
from dayfly.aws.stacks import Stack, list_stacks
from dayfly.errors import AwsError
from dayfly.runs import ids, layout
from dayfly.runs.status import state_of_size

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, TagTypeDef

    from dayfly.aws.client import Aws
    from dayfly.runs.store import Store

SLACK = timedelta(minutes=10)

Kind = Literal["stack", "instance", "volume", "security group", "launch template", "schedule", "batch job"]

_STACK_ID_TAG = "aws:cloudformation:stack-id"
_ALIVE = ["pending", "running", "stopping", "stopped"]


@dataclass(frozen=True, kw_only=True)
class Overdue:
    """One thing that should be gone. `name` is what AWS calls it: a stack's id, an instance's id."""

    kind: Kind
    name: str
    machine_id: str
    deadline: datetime
    status: str = ""


@dataclass(frozen=True, kw_only=True)
class ReapPlan:
    """What `dayfly cloud reap` would end, in the order in which it does, and what it only tells of."""

    overdue: tuple[Overdue, ...]
    unjudged: tuple[str, ...] = ()
    """Machines of this project without a deadline that can be read: left alone."""
    lost_runs: tuple[str, ...] = ()
    """Runs that are said to go on, and have no stack any more."""


def plan_reap(aws: Aws, project: str, *, store: Store | None = None) -> ReapPlan:
    """Look at everything that bears the project's tags. Changes nothing.

    Runs are looked at where `store` is given. Raises AwsError and StoreError.
    """
    stacks = machine_stacks(aws, project)
    late = [_judge("stack", stack.stack_id, stack.tags, stack.status, aws.now()) for stack in stacks]
    return ReapPlan(
        overdue=(*(one for one in late if one is not None), *plan_leftovers(aws, project, stacks)),
        unjudged=tuple(stack.name for stack in stacks if deadline_in(stack.tags) is None),
        lost_runs=tuple(_lost_runs(store, stacks, aws.now())) if store is not None else (),
    )


def machine_stacks(aws: Aws, project: str) -> list[Stack]:
    """The stacks of this project's machines: by their tags, and by their names."""
    prefix = machine_stack_name(project, "")
    return [
        stack
        for stack in list_stacks(aws, tags={PROJECT_TAG: project})
        if stack.name.startswith(prefix) and RUN_TAG in stack.tags
    ]


def plan_leftovers(aws: Aws, project: str, stacks: list[Stack]) -> list[Overdue]:
    """What is overdue and belongs to none of `stacks`, which take theirs with them."""
    there = {stack.stack_id for stack in stacks}
    found: list[Overdue] = []
    for kind, name, tags, status in _resources(aws, project):
        one = _judge(kind, name, tags, status, aws.now())
        # The filter of the listing is not trusted alone: what is found here is deleted.
        if one is not None and tags.get(PROJECT_TAG) == project and tags.get(_STACK_ID_TAG) not in there:
            found.append(one)
    for job in list_open_jobs(aws, project):
        one = _judge("batch job", job.job_id, job.tags, job.status, aws.now())
        found += [one] if one is not None else []
    return [*found, *_old_schedules(aws, project, {stack.name for stack in stacks})]


def deadline_in(tags: Mapping[str, str]) -> datetime | None:
    """The deadline that a machine's tags name; None when they name none."""
    try:
        found = datetime.fromisoformat(tags[DEADLINE_TAG])
    except (KeyError, ValueError):
        return None
    return found if found.tzinfo is not None else None


def _judge(kind: Kind, name: str, tags: Mapping[str, str], status: str, now: datetime) -> Overdue | None:
    """The thing, when it is past its deadline and the slack; else None."""
    deadline = deadline_in(tags)
    if RUN_TAG not in tags or deadline is None or now < deadline + SLACK:
        return None
    return Overdue(kind=kind, name=name, machine_id=tags[RUN_TAG], deadline=deadline, status=status)


def _resources(aws: Aws, project: str) -> Iterator[tuple[Kind, str, Mapping[str, str], str]]:
    """Everything in EC2 that bears the project's tag: kind, id, tags, state. No attached volumes."""
    ec2, ours = aws.ec2, _filter(f"tag:{PROJECT_TAG}", project)
    alive: FilterTypeDef = {"Name": "instance-state-name", "Values": _ALIVE}
    for reservations in ec2.get_paginator("describe_instances").paginate(Filters=[ours, alive]):
        for reservation in reservations["Reservations"]:
            for instance in reservation["Instances"]:
                state = instance["State"]["Name"]
                yield "instance", instance["InstanceId"], _tags(instance.get("Tags")), state
    free = _filter("status", "available")
    for volumes in ec2.get_paginator("describe_volumes").paginate(Filters=[ours, free]):
        for volume in volumes["Volumes"]:
            yield "volume", volume["VolumeId"], _tags(volume.get("Tags")), volume["State"]
    for groups in ec2.get_paginator("describe_security_groups").paginate(Filters=[ours]):
        for group in groups["SecurityGroups"]:
            yield "security group", group["GroupId"], _tags(group.get("Tags")), ""
    for templates in ec2.get_paginator("describe_launch_templates").paginate(Filters=[ours]):
        for template in templates["LaunchTemplates"]:
            yield "launch template", template["LaunchTemplateId"], _tags(template.get("Tags")), ""


def _filter(name: str, value: str) -> FilterTypeDef:
    return {"Name": name, "Values": [value]}


def _tags(found: list[TagTypeDef] | None) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in found or []}


def _old_schedules(aws: Aws, project: str, stacks: set[str]) -> Iterator[Overdue]:
    """Schedules past their end whose stack is gone: AWS should have removed them."""
    group = base_stack_name(project)
    try:
        pages = aws.scheduler.get_paginator("list_schedules").paginate(GroupName=group)
        names = [one["Name"] for page in pages for one in page["Schedules"]]
    except AwsError as error:
        if error.code == "ResourceNotFoundException":
            return
        raise
    for name in names:
        if machine_stack_name(project, name) in stacks:
            continue
        found: Mapping[str, Any] = aws.scheduler.get_schedule(Name=name, GroupName=group)
        target = _stack_in(found["Target"].get("Input", ""))
        if "EndDate" not in found or target in stacks or aws.now() < found["EndDate"] + SLACK:
            continue
        end = found["EndDate"].astimezone(UTC)
        yield Overdue(kind="schedule", name=name, machine_id=name, deadline=end, status=found["State"])


def _stack_in(target: str) -> str:
    """The stack that a schedule deletes."""
    try:
        return str(json.loads(target)["StackName"])
    except (ValueError, KeyError, TypeError):
        return ""


def _lost_runs(store: Store, stacks: list[Stack], now: datetime) -> Iterator[str]:
    """Runs whose status says that they go on, though there is no stack, and no beat for a while."""
    alive = {stack.tags[RUN_TAG] for stack in stacks}
    for entry in store.list(layout.STATUS):
        run_id = entry.key.removeprefix(f"{layout.STATUS}/")
        state = state_of_size(entry.size)
        goes_on = ids.is_run_id(run_id) and state is not None and not state.ended
        if goes_on and run_id not in alive and now >= entry.modified + SLACK:
            yield run_id

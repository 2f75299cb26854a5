"""Ending what is past its deadline: the fifth end of a machine, when the other four have failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from dayfly.aws.names import PROJECT_TAG, RUN_TAG, base_stack_name
from dayfly.aws.reap_plan import Overdue, ReapPlan, machine_stacks, plan_leftovers
from dayfly.aws.stacks import (
    DELETED,
    FAILED,
    StackEvent,
    delete_stack,
    last_event_id,
    list_events,
    wait_for_stack,
)
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from dayfly.aws.client import Aws

STACK_WITHIN_S = 600.0
"""How long the deletion of a stack may take: an instance is shut down first."""
_INSTANCE_WITHIN = timedelta(minutes=5)
_POLL_S = 5.0
_GONE = {
    "InvalidInstanceID.NotFound",
    "InvalidVolume.NotFound",
    "InvalidGroup.NotFound",
    "InvalidLaunchTemplateId.NotFound",
    "ResourceNotFoundException",
}


@dataclass(frozen=True, kw_only=True)
class Reaped:
    """What became of one overdue thing. `problem` is empty when it is gone."""

    what: Overdue
    problem: str = ""


def apply_reap(
    aws: Aws, project: str, plan: ReapPlan, *, tell: Callable[[str], None] = lambda _: None
) -> list[Reaped]:
    """End what the plan names, and what its stacks leave behind. One that fails does not keep the others.

    Raises nothing for a thing that cannot be ended: its Reaped says why.
    """
    stacks = [one for one in plan.overdue if one.kind == "stack"]
    begun = [(one, _begin(aws, one)) for one in stacks]
    reaped = [_end_stack(aws, project, one, after, tell) for one, after in begun]
    again = plan_leftovers(aws, project, machine_stacks(aws, project)) if stacks else []
    planned = [one for one in plan.overdue if one.kind != "stack"]
    named = {(one.kind, one.name) for one in planned}
    leftovers = [*planned, *(one for one in again if (one.kind, one.name) not in named)]
    for one in leftovers:
        tell(f"ending {one.kind} {one.name}")
    return [*reaped, *_end_resources(aws, project, leftovers)]


def _begin(aws: Aws, one: Overdue) -> str | None:
    """All stacks begin to go at once; what went wrong shows when they are waited for."""
    try:
        after = last_event_id(aws, one.name)
        delete_stack(aws, one.name)
    except AwsError:
        return None
    return after


def _end_stack(
    aws: Aws, project: str, one: Overdue, after: str | None, tell: Callable[[str], None]
) -> Reaped:
    """Wait for the deletion; try once more; then end the instance directly and leave behind what sticks."""
    name = one.name.split("/")[1] if "/" in one.name else one.name
    tell(f"deleting stack {name}")
    try:
        if _wait(aws, one.name, after):
            return Reaped(what=one)
        tell(f"stack {name} could not be deleted: trying again")
        after = last_event_id(aws, one.name)
        delete_stack(aws, one.name)
        if _wait(aws, one.name, after):
            return Reaped(what=one)
        tell(f"ending the instance of {name} directly, and leaving behind what cannot be deleted")
        _terminate_of(aws, project, one.machine_id)
        if _force(aws, one.name):
            return Reaped(what=one)
    except AwsError as error:
        return Reaped(what=one, problem=f"{error.what} {error.why}".strip())
    stuck = ", ".join(_stuck_resources(aws, one.name))
    return Reaped(what=one, problem=f"It cannot be deleted, not even by force: {stuck}.")


def _wait(aws: Aws, stack_id: str, after: str | None) -> bool:
    """Whether the stack is gone; False when it came to rest otherwise. Raises AwsError for all else."""
    try:
        wait_for_stack(aws, stack_id, until=DELETED, within_s=STACK_WITHIN_S, after=after)
    except AwsError as error:
        if error.code != FAILED:
            raise
        return False
    return True


def _force(aws: Aws, stack_id: str) -> bool:
    """CloudFormation's own means for a stack that is stuck: by force, then without what sticks."""
    after = last_event_id(aws, stack_id)
    delete_stack(aws, stack_id, force=True)
    if _wait(aws, stack_id, after):
        return True
    after = last_event_id(aws, stack_id)
    delete_stack(aws, stack_id, retain=_stuck_resources(aws, stack_id))
    return _wait(aws, stack_id, after)


def _stuck_resources(aws: Aws, stack_id: str) -> list[str]:
    """The resources whose deletion failed, by logical id."""
    latest: dict[str, StackEvent] = {one.logical_id: one for one in list_events(aws, stack_id)}
    return [name for name, one in latest.items() if one.status == "DELETE_FAILED" and not one.of_stack]


def _terminate_of(aws: Aws, project: str, machine_id: str) -> None:
    """End the instances of one machine, by both of its tags."""
    pages = aws.ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": f"tag:{PROJECT_TAG}", "Values": [project]},
            {"Name": f"tag:{RUN_TAG}", "Values": [machine_id]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
    )
    found = [
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    if found:
        aws.ec2.terminate_instances(InstanceIds=found)
        _wait_for_instances(aws, found)


def _end_resources(aws: Aws, project: str, leftovers: Sequence[Overdue]) -> list[Reaped]:
    """Instances first: volumes and security groups are held by them."""
    reaped = []
    instances = [one for one in leftovers if one.kind == "instance"]
    reaped += [_end(one, lambda one: _terminate(aws, one.name)) for one in instances]
    ended = [one.what.name for one in reaped if not one.problem]
    others = [one for one in leftovers if one.kind != "instance"]
    if ended and others:
        _wait_for_instances(aws, ended)
    return [*reaped, *(_end(one, lambda one: _delete(aws, project, one)) for one in others)]


def _end(one: Overdue, act: Callable[[Overdue], None]) -> Reaped:
    try:
        act(one)
    except AwsError as error:
        if error.code not in _GONE:
            return Reaped(what=one, problem=f"{error.what} {error.why}".strip())
    return Reaped(what=one)


def _terminate(aws: Aws, instance_id: str) -> None:
    aws.ec2.terminate_instances(InstanceIds=[instance_id])


def _delete(aws: Aws, project: str, one: Overdue) -> None:
    match one.kind:
        case "volume":
            aws.ec2.delete_volume(VolumeId=one.name)
        case "security group":
            aws.ec2.delete_security_group(GroupId=one.name)
        case "launch template":
            aws.ec2.delete_launch_template(LaunchTemplateId=one.name)
        case "batch job":
            aws.batch.terminate_job(jobId=one.name, reason="dayfly: past the deadline of the sweep")
        case "schedule":
            aws.scheduler.delete_schedule(Name=one.name, GroupName=base_stack_name(project))


def _wait_for_instances(aws: Aws, instance_ids: Sequence[str]) -> None:
    """Until they are terminated, for at most five minutes; what they hold is free then."""
    began = aws.now()
    while aws.now() - began < _INSTANCE_WITHIN:
        found = aws.ec2.describe_instances(InstanceIds=list(instance_ids))["Reservations"]
        states = {one["State"]["Name"] for reservation in found for one in reservation["Instances"]}
        if states <= {"terminated"}:
            return
        aws.sleep(_POLL_S)

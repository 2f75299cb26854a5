"""The fifth end of a machine: `dayfly cloud reap`, on the emulated AWS.

It proves what is found, what is left alone, and that one end that fails does not keep the others.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from obstore.store import MemoryStore

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.aws.deadline import arm_deadline
from dayfly.aws.names import DEADLINE_TAG, PROJECT_TAG, RUN_TAG
from dayfly.aws.reap import Reaped, apply_reap
from dayfly.aws.reap_plan import SLACK, Overdue, plan_reap
from dayfly.aws.stacks import find_stack
from dayfly.rehearsal.emulator import Emulator
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store
from tests.cloud.stacks import base_stack, machine_stack

PROJECT = "rehearsal"
RUN = "20261123-101502-analysis-7f3a"
OTHER = "20261123-101502-other-0001"
TWO_HOURS = timedelta(hours=2)


def later(aws: Aws, by: timedelta) -> Aws:
    """The same AWS, seen by a clock that is ahead: nothing moves in the emulator, so nothing else ends it."""
    return replace(aws, now=lambda: aws_now(aws) + by)


def aws_now(aws: Aws) -> datetime:
    return aws.now()


def deadline_of(aws: Aws, stack_id: str) -> datetime:
    """What a machine's stack says of its end."""
    (stack,) = aws.cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
    return datetime.fromisoformat(next(one["Value"] for one in stack["Tags"] if one["Key"] == DEADLINE_TAG))


def reap(aws: Aws) -> list[Reaped]:
    return apply_reap(aws, PROJECT, plan_reap(aws, PROJECT))


def tags(project: str = PROJECT, machine: str = RUN, deadline: datetime | None = None) -> Any:
    moment = (deadline or datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    named = {PROJECT_TAG: project, RUN_TAG: machine, DEADLINE_TAG: moment}
    return [{"Key": key, "Value": value} for key, value in named.items()]


def names(found: Sequence[Overdue]) -> set[str]:
    return {one.kind for one in found}


@pytest.fixture
def base(aws: Aws) -> BaseStack:
    return base_stack(aws, PROJECT)


def test_before_its_deadline_and_the_slack_nothing_is_touched(
    aws: Aws, base: BaseStack, count_calls: Callable[[], AbstractContextManager[list[dict[str, Any]]]]
) -> None:
    stack_id = machine_stack(aws, base, RUN)
    deadline = deadline_of(aws, stack_id)
    almost = replace(aws, now=lambda: deadline + SLACK - timedelta(seconds=1))
    with count_calls() as calls:
        assert reap(almost) == []
    assert all(one["operation"].startswith(("Describe", "Get", "List")) for one in calls), calls
    stack = find_stack(aws, stack_id)
    assert stack is not None
    assert stack.status == "CREATE_COMPLETE"


def test_past_its_deadline_a_stack_goes_with_its_instance(
    aws: Aws, base: BaseStack, emulator: Emulator
) -> None:
    stack_id = machine_stack(aws, base, RUN)
    late = later(aws, TWO_HOURS + SLACK + timedelta(minutes=1))
    planned = plan_reap(late, PROJECT)
    assert [(one.kind, one.name, one.machine_id) for one in planned.overdue] == [("stack", stack_id, RUN)]
    assert [one.problem for one in apply_reap(late, PROJECT, planned)] == [""]
    assert emulator.instances() == []
    assert reap(late) == []


def test_what_is_another_projects_or_nobodys_is_never_touched(
    aws: Aws, base: BaseStack, emulator: Emulator
) -> None:
    """Not a stack, instance, volume or group without this project's tag, however late."""
    other = base_stack(aws, "other")
    machine_stack(aws, other, OTHER)
    zone = aws.ec2.describe_subnets(SubnetIds=[base.subnet_ids[0]])["Subnets"][0]["AvailabilityZone"]
    specifications: Any = ([], [{"ResourceType": "volume", "Tags": tags("other")}])
    for specification in specifications:
        aws.ec2.create_volume(AvailabilityZone=zone, Size=1, TagSpecifications=specification)
    aws.ec2.create_security_group(GroupName="mine", Description="x", VpcId=base.vpc_id)
    late = later(aws, timedelta(days=365))
    assert plan_reap(late, PROJECT).overdue == ()
    assert reap(late) == []
    assert len(emulator.instances()) == 1
    assert (
        len(aws.ec2.describe_volumes(Filters=[{"Name": "status", "Values": ["available"]}])["Volumes"]) >= 2
    )


def test_a_project_whose_name_begins_like_another_has_its_own_machines(aws: Aws, base: BaseStack) -> None:
    longer = base_stack(aws, f"{PROJECT}-two")
    machine_stack(aws, longer, OTHER)
    assert plan_reap(later(aws, timedelta(days=365)), PROJECT).overdue == ()


def test_a_machine_without_a_deadline_is_told_and_left_alone(aws: Aws, base: BaseStack) -> None:
    topic = '{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}'
    name = f"dayfly-{PROJECT}--odd"
    odd = [{"Key": PROJECT_TAG, "Value": PROJECT}, {"Key": RUN_TAG, "Value": "odd"}]
    aws.cloudformation.create_stack(StackName=name, TemplateBody=topic, Tags=odd)  # type: ignore[arg-type]
    planned = plan_reap(later(aws, timedelta(days=365)), PROJECT)
    assert planned.overdue == ()
    assert planned.unjudged == (name,)


def test_leftovers_without_a_stack_go_instances_first(aws: Aws, base: BaseStack, emulator: Emulator) -> None:
    zone = aws.ec2.describe_subnets(SubnetIds=[base.subnet_ids[0]])["Subnets"][0]["AvailabilityZone"]

    def tagged(kind: str) -> Any:
        return [{"ResourceType": kind, "Tags": tags()}]

    aws.ec2.run_instances(
        ImageId="ami-0123456789abcdef0",
        InstanceType="m7i.large",
        MinCount=1,
        MaxCount=1,
        SubnetId=base.subnet_ids[0],
        TagSpecifications=tagged("instance"),
    )
    aws.ec2.create_volume(AvailabilityZone=zone, Size=1, TagSpecifications=tagged("volume"))
    aws.ec2.create_security_group(
        GroupName="left", Description="x", VpcId=base.vpc_id, TagSpecifications=tagged("security-group")
    )
    arm_deadline(
        aws, base, name=RUN, stack_name=f"dayfly-{PROJECT}--{RUN}", deadline=aws.now() + timedelta(hours=1)
    )
    late = later(aws, timedelta(days=1))
    assert names(plan_reap(late, PROJECT).overdue) == {"instance", "volume", "security group", "schedule"}
    reaped = reap(late)
    assert reaped[0].what.kind == "instance"
    assert [one.problem for one in reaped] == ["", "", "", ""]
    assert emulator.instances() == []
    assert plan_reap(late, PROJECT).overdue == ()


def test_a_schedule_before_its_end_or_of_a_living_machine_stays(aws: Aws, base: BaseStack) -> None:
    machine_stack(aws, base, RUN)
    for name in (RUN, OTHER):
        stack = f"dayfly-{PROJECT}--{name}"
        arm_deadline(aws, base, name=name, stack_name=stack, deadline=aws.now() + timedelta(hours=3))
    soon = later(aws, timedelta(hours=1))
    assert plan_reap(soon, PROJECT).overdue == ()
    late = plan_reap(later(aws, timedelta(hours=6)), PROJECT).overdue
    assert {(one.kind, one.machine_id) for one in late} == {("stack", RUN), ("schedule", OTHER)}


def test_an_end_that_fails_is_told_and_does_not_keep_the_others(
    aws: Aws, base: BaseStack, emulator: Emulator
) -> None:
    zone = aws.ec2.describe_subnets(SubnetIds=[base.subnet_ids[0]])["Subnets"][0]["AvailabilityZone"]
    specification: Any = [{"ResourceType": "volume", "Tags": tags()}]
    for _ in range(2):
        aws.ec2.create_volume(AvailabilityZone=zone, Size=1, TagSpecifications=specification)
    emulator.fault("ec2:DeleteVolume", kind="deny", times=1)
    reaped = reap(aws)
    assert sorted(bool(one.problem) for one in reaped) == [False, True]
    assert [one.problem for one in reap(aws)] == [""]


@pytest.mark.fault(36)
def test_a_stack_whose_deletion_fails_is_tried_again_and_its_instance_ends_anyway(
    aws: Aws, base: BaseStack, emulator: Emulator
) -> None:
    """FAULTS 36: DELETE_FAILED, because CloudFormation's role may not delete the security group any more."""
    stack_id = machine_stack(aws, base, RUN)
    denied = {"Effect": "Deny", "Action": "ec2:DeleteSecurityGroup", "Resource": "*"}
    aws.iam.put_role_policy(
        RoleName=base.cloudformation_role_arn.rpartition("/")[2],
        PolicyName="deny",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [denied]}),
    )
    late = later(aws, TWO_HOURS + timedelta(hours=1))
    told: list[str] = []
    reaped = apply_reap(late, PROJECT, plan_reap(late, PROJECT), tell=told.append)
    assert any("trying again" in line for line in told)
    assert any("ending the instance" in line for line in told)
    assert [(one.what.kind, one.problem) for one in reaped] == [("stack", ""), ("security group", "")]
    stack = find_stack(aws, stack_id)
    assert stack is None or stack.status == "DELETE_COMPLETE"
    assert emulator.instances() == []


def test_runs_that_are_said_to_live_without_a_machine_are_only_told(aws: Aws, base: BaseStack) -> None:
    store = Store(objects=MemoryStore(), url="memory://")
    machine_stack(aws, base, RUN)
    put_status(store, RUN, State.RUNNING, aws.now())
    put_status(store, OTHER, State.RUNNING, aws.now())
    put_status(store, "20261123-101502-done-0002", State.SUCCEEDED, aws.now())
    assert plan_reap(aws, PROJECT, store=store).lost_runs == ()  # its last beat was just now
    later_plan = plan_reap(later(aws, timedelta(minutes=30)), PROJECT, store=store)
    assert later_plan.lost_runs == (OTHER,)
    assert later_plan.overdue == ()

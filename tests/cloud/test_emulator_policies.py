"""Who may do what in the emulated AWS: where it decides as AWS does, and ministack alone would not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from dayfly.aws.client import Aws
from dayfly.aws.names import machine_stack_name
from dayfly.errors import AwsError
from dayfly.rehearsal.emulator import Emulator
from tests.cloud.stacks import (
    MACHINE,
    base_stack,
    machine_parameters,
    machine_stack,
    parameter_list,
    start_machine,
    template,
    wait,
)

AsRole = Callable[[str], Aws]
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def role(aws: Aws, *statements: dict[str, Any], name: str = "tried", **more: Any) -> str:
    """A role that may do this; its ARN."""
    made = aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), **more)
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    aws.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    return made["Role"]["Arn"]


def allow(action: str | list[str], resource: str = "*", /, **condition: Any) -> dict[str, Any]:
    more = {"Condition": condition} if condition else {}
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def denied(call: Callable[[], object]) -> str:
    """What AWS says of a call that is denied."""
    with pytest.raises(AwsError) as caught:
        call()
    assert caught.value.code in {"AccessDenied", "UnauthorizedOperation", "AccessDeniedException"}
    return caught.value.message


def test_a_role_is_passed_to_cloudformation_only_with_leave(aws: Aws, as_role: AsRole) -> None:
    base = base_stack(aws)
    without = as_role(role(aws, allow("cloudformation:*")))
    assert "iam:PassRole" in denied(lambda: start_machine(without, base))
    leave = {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}
    passing = allow("iam:PassRole", base.cloudformation_role_arn, **leave)
    with_leave = as_role(role(aws, allow("cloudformation:*"), passing, name="passing"))
    wait(with_leave, start_machine(with_leave, base), "stack_create_complete")


def test_a_stack_without_a_role_has_its_callers_rights(aws: Aws, as_role: AsRole, emulator: Emulator) -> None:
    base = base_stack(aws)
    without = as_role(role(aws, allow("cloudformation:*")))
    stack = start_machine(without, base, role=False)
    wait(without, stack, "stack_delete_complete")
    events = aws.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    assert any("ec2:CreateSecurityGroup" in one.get("ResourceStatusReason", "") for one in events)
    assert emulator.instances() == []


def test_a_machine_ends_its_own_stack_with_the_stacks_role(
    aws: Aws, as_role: AsRole, emulator: Emulator
) -> None:
    """Its own role may delete the stack, and not the instance: CloudFormation does that with the stack's."""
    base = base_stack(aws)
    stack = machine_stack(aws, base)
    machine = as_role(f"arn:aws:iam::{base.account}:role/{base.run_profile}")
    (instance,) = emulator.instances()
    denied(lambda: machine.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]]))
    machine.cloudformation.delete_stack(StackName=stack)
    wait(aws, stack, "stack_delete_complete")
    assert emulator.instances() == []


def test_a_change_set_gives_its_stack_a_role_too(aws: Aws, as_role: AsRole, emulator: Emulator) -> None:
    """As `aws cloudformation deploy --role-arn` does."""
    base = base_stack(aws)
    name = machine_stack_name(base.project, MACHINE)
    made = aws.cloudformation.create_change_set(
        StackName=name,
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=template("machine"),
        Parameters=parameter_list(machine_parameters(base)),  # type: ignore[arg-type]
        RoleARN=base.cloudformation_role_arn,
    )
    aws.cloudformation.execute_change_set(ChangeSetName=made["Id"])
    wait(aws, made["StackId"], "stack_create_complete")
    assert (
        aws.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["RoleARN"]
        == base.cloudformation_role_arn
    )
    machine = as_role(f"arn:aws:iam::{base.account}:role/{base.run_profile}")
    machine.cloudformation.delete_stack(StackName=name)
    wait(aws, made["StackId"], "stack_delete_complete")
    assert emulator.instances() == []


def test_a_machine_cannot_delete_the_base_stack(aws: Aws, as_role: AsRole) -> None:
    base = base_stack(aws)
    machine = as_role(f"arn:aws:iam::{base.account}:role/{base.run_profile}")
    denied(lambda: machine.cloudformation.delete_stack(StackName=base.stack_id))


def test_conditions_see_the_tags_of_an_instance(aws: Aws, as_role: AsRole, emulator: Emulator) -> None:
    base = base_stack(aws)
    machine_stack(aws, base)
    (instance,) = emulator.instances()
    for value, allowed in ((base.project, True), ("another", False)):
        tagged = {"StringEquals": {"aws:ResourceTag/dayfly:project": value}}
        who = as_role(role(aws, allow("ec2:TerminateInstances", **tagged), name=value))
        with pytest.raises(AwsError) as caught:
            who.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]], DryRun=True)
        assert caught.value.code == ("DryRunOperation" if allowed else "UnauthorizedOperation")
    assert len(emulator.instances()) == 1


def test_schedules_are_named_with_their_group(aws: Aws, as_role: AsRole) -> None:
    base = base_stack(aws)
    arn = f"arn:aws:scheduler:{aws.region}:{base.account}:schedule/{base.schedule_group}/*"
    who = as_role(role(aws, allow("scheduler:DeleteSchedule", arn)))
    denied(lambda: who.scheduler.delete_schedule(Name="x"))
    with pytest.raises(AwsError) as caught:
        who.scheduler.delete_schedule(Name="x", GroupName=base.schedule_group)
    assert caught.value.code == "ResourceNotFoundException"


def test_a_boundary_bounds_a_role_of_a_stack(aws: Aws, as_role: AsRole) -> None:
    document = {"Version": "2012-10-17", "Statement": [allow("s3:*")]}
    policy = aws.iam.create_policy(PolicyName="bound", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    base = base_stack(aws, PermissionsBoundary=policy)
    machine = as_role(f"arn:aws:iam::{base.account}:role/{base.run_profile}")
    denied(lambda: machine.cloudformation.delete_stack(StackName="dayfly-rehearsal--x"))
    machine.s3.put_object(Bucket=base.bucket, Key="status/x", Body=b"")


def test_a_role_can_be_made_only_with_its_boundary(aws: Aws, as_role: AsRole) -> None:
    document = {"Version": "2012-10-17", "Statement": [allow("s3:*")]}
    policy = aws.iam.create_policy(PolicyName="bound", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    only = {"StringEquals": {"iam:PermissionsBoundary": policy}}
    who = as_role(role(aws, allow(["iam:CreateRole", "iam:PutRolePolicy"], **only)))
    denied(lambda: role(who, allow("s3:*"), name="free"))
    role(who, allow("s3:*"), name="bound", PermissionsBoundary=policy)


def test_each_public_parameter_of_a_call_needs_leave(aws: Aws, as_role: AsRole) -> None:
    linux = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    debian = "/aws/service/debian/release/12/latest/amd64"
    arn = f"arn:aws:ssm:{aws.region}::parameter/aws/service/ami-amazon-linux-latest/*"
    who = as_role(role(aws, allow("ssm:GetParameters", arn)))
    assert who.ssm.get_parameters(Names=[linux])["Parameters"]
    denied(lambda: who.ssm.get_parameters(Names=[linux, debian]))


def test_prices_and_quotas_need_leave(aws: Aws, as_role: AsRole) -> None:
    who = as_role(role(aws, allow("servicequotas:GetServiceQuota")))
    who.quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")
    denied(lambda: who.pricing.get_products(ServiceCode="AmazonEC2"))

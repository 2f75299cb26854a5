"""The base stack's roles and the policies of people, tried on an emulated AWS that enforces policies.

It proves direct calls. What CloudFormation needs inside with its own role, schemas prove
(tests/unit/aws/test_service_role.py); EC2's condition keys, the documents alone
(tests/unit/aws/test_policies.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.aws.names import base_stack_name, schedule_name
from dayfly.aws.policies import admin_policy, user_policy
from dayfly.errors import AwsError
from dayfly.rehearsal.emulator import Emulator
from tests.cloud.stacks import MACHINE, PROJECT, base_stack, machine_stack, start_machine, wait

AsRole = Callable[[str], Aws]
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
OF_SWEEPS = ("sweeps", "sweep-bases", "sweep-claims")
FOLDERS = ("runs", "status", "snapshots", "images", "builds", "labs", "tokens", *OF_SWEEPS)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def is_denied(call: Callable[[], object]) -> bool:
    """Whether AWS denies a call; any other error is a mistake of the test."""
    try:
        call()
    except AwsError as error:
        if error.code in DENIED:
            return True
        raise
    return False


def allowed_folders(call: Callable[[str], object]) -> set[str]:
    return {folder for folder in FOLDERS if not is_denied(partial(call, f"{folder}/some/file"))}


def of_machine(base: BaseStack, profile: str) -> str:
    return f"arn:aws:iam::{base.account}:role/{profile}"


def person(aws: Aws, as_role: AsRole, name: str, base: BaseStack) -> Aws:
    """Somebody with a person's policy, which is too long for a role's own."""
    policy = {"admin": admin_policy, "user": user_policy}[name](PROJECT, base.account, base.region)
    made = aws.iam.create_policy(PolicyName=f"person-{name}", PolicyDocument=json.dumps(policy))
    role = aws.iam.create_role(RoleName=f"person-{name}", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    aws.iam.attach_role_policy(RoleName=f"person-{name}", PolicyArn=made["Policy"]["Arn"])
    return as_role(role)


@pytest.mark.parametrize(
    ("task", "reads", "writes"),
    [
        ("run", {"runs", "snapshots", "images"}, {"runs", "status"}),
        ("access", {"runs", "labs", "snapshots", "images"}, {"runs", "labs", "status"}),
        ("build", {"builds", "images"}, {"builds", "images"}),
        ("lab", {"labs", "snapshots", "images"}, {"labs"}),
    ],
)
def test_a_machine_reads_its_inputs_and_writes_its_own(
    aws: Aws, as_role: AsRole, task: str, reads: set[str], writes: set[str]
) -> None:
    """SECURITY 8."""
    base = base_stack(aws)
    for folder in FOLDERS:
        aws.s3.put_object(Bucket=base.bucket, Key=f"{folder}/some/file", Body=b"there")
    profile = {
        "run": base.run_profile,
        "access": base.access_profile,
        "build": base.build_profile,
        "lab": base.lab_profile,
    }[task]
    s3 = as_role(of_machine(base, profile)).s3
    assert allowed_folders(lambda key: s3.get_object(Bucket=base.bucket, Key=key)) == reads
    assert allowed_folders(lambda key: s3.put_object(Bucket=base.bucket, Key=key, Body=b"new")) == writes
    assert allowed_folders(lambda key: s3.delete_object(Bucket=base.bucket, Key=key)) == set()
    missing = f"{min(writes)}/nobody/has/this"
    with pytest.raises(AwsError) as caught:
        s3.get_object(Bucket=base.bucket, Key=missing)
    assert caught.value.code == "NoSuchKey"


def test_a_point_of_a_sweep_reads_its_point_and_writes_its_run(aws: Aws, as_role: AsRole) -> None:
    """SECURITY 8, for a job of AWS Batch: it cannot change what was asked, nor claim a sweep, nor submit."""
    base = base_stack(aws, Batch="true")
    for folder in FOLDERS:
        aws.s3.put_object(Bucket=base.bucket, Key=f"{folder}/some/file", Body=b"there")
    job = as_role(base.batch_job_role_arn)
    s3 = job.s3
    reads = {"runs", "snapshots", "images", "sweeps"}
    assert allowed_folders(lambda key: s3.get_object(Bucket=base.bucket, Key=key)) == reads
    written = allowed_folders(lambda key: s3.put_object(Bucket=base.bucket, Key=key, Body=b"new"))
    assert written == {"runs", "status"}
    assert allowed_folders(lambda key: s3.delete_object(Bucket=base.bucket, Key=key)) == set()
    assert is_denied(job.batch.describe_job_queues)
    assert is_denied(
        lambda: job.batch.submit_job(
            jobName="more", jobQueue=base.batch_queue, jobDefinition=base.batch_job_definition
        )
    )
    assert is_denied(lambda: job.cloudformation.delete_stack(StackName=base.stack_id))
    assert is_denied(job.iam.list_roles)
    with pytest.raises(AwsError) as caught:
        s3.get_object(Bucket=base.bucket, Key="sweeps/nobody/stop.json")
    assert caught.value.code == "NoSuchKey", "whether a sweep was stopped can be asked"


def test_who_submits_runs_keeps_sweeps_in_the_bucket(aws: Aws, as_role: AsRole) -> None:
    """Their points, what makes two alike, and who was first; removed with their runs."""
    base = base_stack(aws)
    s3 = person(aws, as_role, "user", base).s3
    kept = {"runs", "status", "snapshots", *OF_SWEEPS}
    assert kept <= allowed_folders(lambda key: s3.put_object(Bucket=base.bucket, Key=key, Body=b"new"))
    assert kept <= allowed_folders(lambda key: s3.get_object(Bucket=base.bucket, Key=key))
    for folder in OF_SWEEPS:
        listed = s3.list_objects_v2(Bucket=base.bucket, Prefix=f"{folder}/")
        assert [one["Key"] for one in listed["Contents"]] == [f"{folder}/some/file"]
    assert kept <= allowed_folders(lambda key: s3.delete_object(Bucket=base.bucket, Key=key))


@pytest.mark.parametrize("task", ["run", "access", "build", "lab"])
def test_a_machine_has_no_rights_over_people_machines_and_schedules(
    aws: Aws, as_role: AsRole, task: str
) -> None:
    """SECURITY 8."""
    base = base_stack(aws)
    machine = as_role(of_machine(base, f"{base.run_profile.removesuffix('run')}{task}"))
    assert is_denied(machine.iam.list_roles)
    assert is_denied(lambda: machine.iam.create_user(UserName="mine"))
    assert is_denied(machine.ec2.describe_instances)
    assert is_denied(lambda: machine.cloudformation.delete_stack(StackName=base.stack_id))
    assert is_denied(machine.cloudformation.describe_stacks)
    assert is_denied(lambda: machine.scheduler.delete_schedule(Name="x", GroupName=base_stack_name(PROJECT)))
    assert is_denied(lambda: machine.ecr.delete_repository(repositoryName=f"dayfly/{PROJECT}", force=True))


@pytest.mark.parametrize(("task", "pushes"), [("run", False), ("build", True), ("lab", False)])
def test_only_a_build_pushes_images(aws: Aws, as_role: AsRole, task: str, pushes: bool) -> None:
    base = base_stack(aws)
    ecr = as_role(of_machine(base, f"{base.run_profile.removesuffix('run')}{task}")).ecr
    refused = is_denied(lambda: ecr.initiate_layer_upload(repositoryName=f"dayfly/{PROJECT}"))
    assert refused is not pushes


def test_who_submits_runs_makes_and_ends_a_machine_by_cloudformations_role_only(
    aws: Aws, as_role: AsRole, emulator: Emulator
) -> None:
    """SECURITY 9."""
    base = base_stack(aws)
    user = person(aws, as_role, "user", base)
    assert is_denied(lambda: start_machine(user, base, role=False))
    assert emulator.instances() == []
    stack = machine_stack(user, base)
    assert len(emulator.instances()) == 1
    assert is_denied(
        lambda: user.ec2.run_instances(
            ImageId="ami-0123456789abcdef0", InstanceType="m7i.large", MinCount=1, MaxCount=1
        )
    )
    user.cloudformation.delete_stack(StackName=stack)
    wait(aws, stack, "stack_delete_complete")
    assert emulator.instances() == []


def test_who_submits_runs_cannot_change_what_they_stand_on(aws: Aws, as_role: AsRole) -> None:
    """SECURITY 9."""
    base = base_stack(aws)
    user = person(aws, as_role, "user", base)
    assert is_denied(lambda: user.cloudformation.delete_stack(StackName=base.stack_id))
    assert is_denied(lambda: user.iam.create_role(RoleName="mine", AssumeRolePolicyDocument=TRUST))
    assert is_denied(lambda: user.iam.delete_role(RoleName=base.run_profile))
    assert is_denied(lambda: user.s3.delete_bucket(Bucket=base.bucket))
    assert is_denied(
        lambda: user.s3.put_bucket_versioning(
            Bucket=base.bucket, VersioningConfiguration={"Status": "Suspended"}
        )
    )
    assert is_denied(lambda: user.ecr.delete_repository(repositoryName=f"dayfly/{PROJECT}", force=True))
    assert is_denied(lambda: user.scheduler.delete_schedule_group(Name=base.schedule_group))
    assert is_denied(lambda: user.scheduler.delete_schedule(Name="x", GroupName="default"))


def test_who_submits_runs_arms_a_deadline_with_the_schedulers_role_only(aws: Aws, as_role: AsRole) -> None:
    base = base_stack(aws)
    user = person(aws, as_role, "user", base)

    def arm(role_arn: str) -> object:
        return user.scheduler.create_schedule(
            Name=schedule_name(MACHINE),
            GroupName=base.schedule_group,
            ScheduleExpression="rate(10 minutes)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": "arn:aws:scheduler:::aws-sdk:cloudformation:deleteStack",
                "RoleArn": role_arn,
                "Input": json.dumps({"StackName": f"dayfly-{PROJECT}--{MACHINE}"}),
            },
        )

    assert is_denied(lambda: arm(base.cloudformation_role_arn))
    assert not is_denied(lambda: arm(base.scheduler_role_arn))


def test_who_sets_up_makes_the_base_stack_and_no_machine(aws: Aws, as_role: AsRole) -> None:
    """SECURITY 9. The rights that CloudFormation needs inside are held to AWS's schemas, not tried here."""
    base = base_stack(aws)
    admin = person(aws, as_role, "admin", base)
    assert not is_denied(lambda: admin.cloudformation.describe_stacks(StackName=base.stack_id))
    assert is_denied(lambda: start_machine(admin, base))
    assert is_denied(lambda: admin.iam.create_role(RoleName="any", AssumeRolePolicyDocument=TRUST))
    assert is_denied(lambda: admin.iam.create_access_key(UserName="somebody"))

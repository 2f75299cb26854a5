"""Deploys our templates to the emulated AWS, as `aws cloudformation` would."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from dayfly.aws.base import BaseStack, load_base
from dayfly.aws.client import Aws
from dayfly.aws.names import base_stack_name, bucket_name, machine_stack_name, machine_tags, tag_list
from dayfly.aws.template import load_template
from dayfly.rehearsal.emulator import ACCOUNT

PROJECT = "rehearsal"
MACHINE = "20261123-101502-analysis-7f3a"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/dayfly/{PROJECT}@sha256:{'a' * 64}"


def template(name: str) -> str:
    """`base` or `machine`."""
    found = load_template(name)
    return found.body if name == "base" else found.text


def base_stack(aws: Aws, project: str = PROJECT, **parameters: str) -> BaseStack:
    """A base stack in the default VPC, complete."""
    vpc = aws.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    subnets = aws.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    account = aws.sts.get_caller_identity()["Account"]
    values = {
        "Project": project,
        "BucketName": bucket_name(project, account, aws.region),
        "VpcId": vpc,
        "SubnetIds": ",".join(one["SubnetId"] for one in subnets),
        **parameters,
    }
    name = base_stack_name(project)
    aws.cloudformation.create_stack(
        StackName=name,
        TemplateBody=template("base"),
        Parameters=parameter_list(values),  # type: ignore[arg-type]
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Tags=tag_list({"dayfly:project": project}),  # type: ignore[arg-type]
    )
    wait(aws, name, "stack_create_complete")
    return load_base(aws, project)


def machine_parameters(base: BaseStack, machine_id: str = MACHINE, **changed: str) -> dict[str, str]:
    """What machine.yaml needs for a run of two hours."""
    deadline = datetime.now(UTC) + timedelta(hours=2)
    return {
        "MachineId": machine_id,
        "Project": base.project,
        "Owner": "somebody",
        "Deadline": deadline.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "DeadlineEpoch": str(int(deadline.timestamp())),
        "InstanceType": "m7i.large",
        "ImageId": "ami-0123456789abcdef0",
        "LaunchTemplateId": base.launch_template,
        "InstanceProfile": base.run_profile,
        "VpcId": base.vpc_id,
        "SubnetId": base.subnet_ids[0],
        "Bucket": base.bucket,
        "Prefix": f"runs/{machine_id}",
        "Image": IMAGE,
        "Commit": "0" * 40,
        **changed,
    }


def start_machine(
    aws: Aws, base: BaseStack, machine_id: str = MACHINE, *, role: bool = True, **changed: str
) -> str:
    """Begin a machine's stack as dayfly does, and return its id. It is made, or gone, when AWS says so."""
    deadline = datetime.now(UTC) + timedelta(hours=2)
    tags = machine_tags(
        project=base.project, machine_id=machine_id, owner="somebody", deadline=deadline, task="run"
    )
    optional: Mapping[str, str] = {"RoleARN": base.cloudformation_role_arn} if role else {}
    made = aws.cloudformation.create_stack(
        StackName=machine_stack_name(base.project, machine_id),
        TemplateBody=template("machine"),
        Parameters=parameter_list(machine_parameters(base, machine_id, **changed)),  # type: ignore[arg-type]
        OnFailure="DELETE",
        Tags=tag_list(tags),  # type: ignore[arg-type]
        **optional,  # type: ignore[arg-type]
    )
    return made["StackId"]


def machine_stack(aws: Aws, base: BaseStack, machine_id: str = MACHINE, **changed: str) -> str:
    """A machine's stack, complete; its id."""
    stack_id = start_machine(aws, base, machine_id, role=True, **changed)
    wait(aws, stack_id, "stack_create_complete")
    return stack_id


def wait(aws: Aws, stack: str, until: str) -> None:
    """botocore's waiter (`stack_create_complete`, `stack_delete_complete`)."""
    waiter = aws.cloudformation.get_waiter(until)  # type: ignore[call-overload]
    waiter.wait(StackName=stack, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})


def parameter_list(values: Mapping[str, str]) -> list[dict[str, str]]:
    """In the form that CloudFormation takes."""
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


def user_data(aws: Aws, instance_id: str) -> str:
    """An instance's user data, decoded."""
    said = aws.ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    return base64.b64decode(said["UserData"]["Value"]).decode()

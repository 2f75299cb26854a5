"""The base stack, as everything else sees it: found once, and read from its outputs."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.aws.client import Aws
from dayfly.aws.names import base_stack_name
from dayfly.errors import AwsError

TEMPLATE_VERSION = 1
"""Of base.yaml. A client needs a base stack of at least this version."""


@dataclass(frozen=True, kw_only=True)
class BaseStack:
    """What `base.yaml` puts out. ARNs and names as AWS has them; `subnet_ids` in the order to be tried."""

    project: str
    region: str
    account: str
    stack_id: str
    status: str
    version: int
    bucket: str
    repository_uri: str
    cloudformation_role_arn: str
    scheduler_role_arn: str
    schedule_group: str
    run_profile: str
    access_profile: str
    build_profile: str
    lab_profile: str
    launch_template: str
    """Of machines whose containers cannot reach the metadata service (hop limit 1)."""
    launch_template_version: str
    access_launch_template: str
    """Of machines whose notebooks may use the machine's role (hop limit 2)."""
    access_launch_template_version: str
    vpc_id: str
    subnet_ids: tuple[str, ...]
    mirror: str = ""
    """The CodeCommit repository's name; empty without one."""
    key_name: str = ""
    """The key pair for SSH; empty without one."""
    elastic_ip_allocation: str = ""


_OUTPUTS = {
    "bucket": "Bucket",
    "repository_uri": "RepositoryUri",
    "cloudformation_role_arn": "CloudFormationRoleArn",
    "scheduler_role_arn": "SchedulerRoleArn",
    "schedule_group": "ScheduleGroup",
    "run_profile": "RunProfile",
    "access_profile": "AccessProfile",
    "build_profile": "BuildProfile",
    "lab_profile": "LabProfile",
    "launch_template": "LaunchTemplate",
    "launch_template_version": "LaunchTemplateVersion",
    "access_launch_template": "AccessLaunchTemplate",
    "access_launch_template_version": "AccessLaunchTemplateVersion",
    "vpc_id": "VpcId",
}
_OPTIONAL = {"mirror": "Mirror", "key_name": "KeyName", "elastic_ip_allocation": "ElasticIpAllocation"}


def find_base(aws: Aws, project: str) -> BaseStack | None:
    """The project's base stack in this account and region; None when there is none."""
    try:
        found = aws.cloudformation.describe_stacks(StackName=base_stack_name(project))["Stacks"]
    except AwsError as error:
        if error.code == "ValidationError" and "does not exist" in error.message:
            return None
        raise
    stack = found[0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
    missing = [key for key in _OUTPUTS.values() if key not in outputs]
    if missing:
        raise AwsError(
            f"The base stack {base_stack_name(project)} is not complete: it is {stack['StackStatus']}.",
            why=stack.get("StackStatusReason", f"It has no output {missing[0]}."),
            hint="See what is wrong with: dayfly cloud doctor",
        )
    return BaseStack(
        project=project,
        region=aws.region,
        account=stack["StackId"].split(":")[4],
        stack_id=stack["StackId"],
        status=stack["StackStatus"],
        version=int(outputs.get("Version", "0")),
        subnet_ids=tuple(part for part in outputs.get("SubnetIds", "").split(",") if part),
        **{name: outputs[key] for name, key in _OUTPUTS.items()},
        **{name: outputs.get(key, "") for name, key in _OPTIONAL.items()},
    )


def load_base(aws: Aws, project: str) -> BaseStack:
    """The project's base stack, ready to be used.

    Raises AwsError when there is none, it is too old for this client, or it is being changed.
    """
    base = find_base(aws, project)
    if base is None:
        raise AwsError(
            f"There is no base stack {base_stack_name(project)} in {aws.region}.",
            why="A machine needs roles, a bucket and an image repository, which cost nothing while idle.",
            hint="See what would be made with: dayfly cloud plan; make it with: dayfly cloud up",
        )
    if base.version < TEMPLATE_VERSION:
        raise AwsError(
            f"The base stack {base_stack_name(project)} is of version {base.version}.",
            why=f"This dayfly needs version {TEMPLATE_VERSION}.",
            hint="Bring it up to date with: dayfly cloud up",
        )
    return base

"""The base stack, as everything else sees it: found once, and read from its outputs."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.aws.client import Aws
from dayfly.aws.names import base_stack_name
from dayfly.aws.stacks import Stack, find_stack, is_busy
from dayfly.errors import AwsError

TEMPLATE_VERSION = 2
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
    batch_queue: str = ""
    """The queue of sweeps on AWS Batch, an ARN; empty without Batch, as the next three."""
    batch_spot_queue: str = ""
    batch_job_definition: str = ""
    """What the job definitions of sweeps are made of, an ARN."""
    batch_job_role_arn: str = ""


_UNFIT = frozenset(
    {
        *("DELETE_IN_PROGRESS", "DELETE_FAILED", "DELETE_COMPLETE"),
        *("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"),
        *("ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"),
    }
)
"""What no machine can rely on: its roles may be going. While what is old is cleaned up, the new stands."""
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
_OPTIONAL = {
    "mirror": "Mirror",
    "key_name": "KeyName",
    "elastic_ip_allocation": "ElasticIpAllocation",
    "batch_queue": "BatchQueue",
    "batch_spot_queue": "BatchSpotQueue",
    "batch_job_definition": "BatchJobDefinition",
    "batch_job_role_arn": "BatchJobRoleArn",
}


def find_base(aws: Aws, project: str) -> BaseStack | None:
    """The project's base stack in this account and region; None when there is none."""
    stack = find_stack(aws, base_stack_name(project))
    return None if stack is None else read_base(project, aws.region, stack)


def read_base(project: str, region: str, stack: Stack) -> BaseStack:
    """The base stack from what a stack puts out. Raises AwsError when it puts out too little."""
    outputs = stack.outputs
    missing = [key for key in _OUTPUTS.values() if key not in outputs]
    if missing:
        whole = stack.status.endswith("_COMPLETE") and not stack.status.startswith(("ROLLBACK", "DELETE"))
        raise AwsError(
            f"The base stack {stack.name} is not complete: it is {stack.status}.",
            why=stack.reason or f"It has no output {missing[0]}.",
            hint="Bring it up to date with: dayfly cloud up"
            if whole
            else "See what is wrong with: dayfly cloud doctor",
        )
    return BaseStack(
        project=project,
        region=region,
        account=stack.stack_id.split(":")[4],
        stack_id=stack.stack_id,
        status=stack.status,
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
    if base.status in _UNFIT:
        goes_on = is_busy(base.status)
        raise AwsError(
            f"The base stack {base_stack_name(project)} is {base.status}.",
            why="A machine that is made meanwhile could lose the roles that end it.",
            hint="Wait until it is done, and repeat the command; see how far it is with: dayfly cloud status"
            if goes_on
            else "See what is wrong with: dayfly cloud doctor",
        )
    if base.version < TEMPLATE_VERSION:
        raise AwsError(
            f"The base stack {base_stack_name(project)} is of version {base.version}.",
            why=f"This dayfly needs version {TEMPLATE_VERSION}.",
            hint="Bring it up to date with: dayfly cloud up",
        )
    return base

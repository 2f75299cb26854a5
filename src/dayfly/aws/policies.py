"""The exact IAM policies of people: of who sets up the base stack, and of who submits runs.

What machines and AWS's own services may do stands in `templates/base.yaml`. A person's policy is for one
project in one region of one account. Each statement's Sid says what it is for.
"""

from __future__ import annotations

from dayfly.aws.names import PROJECT_TAG, RUN_TAG, Role, base_stack_name
from dayfly.aws.policy_admin import keep_own, make_network, make_roles, use_nameless
from dayfly.aws.policy_statements import Arns, Document, allow, document, equals

_PUSH_AND_PULL = """
BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload DescribeImages DescribeRepositories
GetDownloadUrlForLayer InitiateLayerUpload ListImages PutImage UploadLayerPart
"""
_DESCRIBED = """
Addresses AvailabilityZones Images Instances InstanceStatus InstanceTypeOfferings InstanceTypes KeyPairs
LaunchTemplates LaunchTemplateVersions NetworkInterfaces RouteTables SecurityGroups SpotInstanceRequests
SpotPriceHistory Subnets Volumes VpcEndpoints Vpcs
"""

_EXAMINED: tuple[Role, ...] = ("cloudformation", "scheduler", "run")
"""The roles without which no machine can be made, armed and run: `dayfly cloud doctor` looks for them."""


def admin_policy(project: str, account: str, region: str) -> Document:
    """For who sets up, changes and removes the base stack; it runs no machines.

    Whoever may make roles may make powerful ones, so this is for administrators. Who also submits runs needs
    `user_policy` as well.
    """
    arns = Arns(project=project, account=account, region=region)
    return document(keep_own(arns), use_nameless(), make_network(arns), make_roles(arns))


def user_policy(project: str, account: str, region: str) -> Document:
    """For who submits runs, builds and labs.

    They can make no instance and no role themselves: CloudFormation's role makes the machines, and only
    those.
    """
    arns = Arns(project=project, account=account, region=region)
    return document(
        _run_machines(arns), _arm_deadlines(arns), _reach_machines(arns), _use_store(arns), _look()
    )


def _run_machines(arns: Arns) -> list[Document]:
    return [
        allow(
            "MakeMachinesOnlyByTheirRole",
            "cloudformation",
            "CreateStack",
            arns.machine_stacks,
            {"ArnEquals": {"cloudformation:RoleArn": arns.role("cloudformation")}},
        ),
        allow(
            "GiveCloudFormationItsRole",
            "iam",
            "PassRole",
            arns.role("cloudformation"),
            equals("iam:PassedToService", "cloudformation.amazonaws.com"),
        ),
        allow("SeeThatRolesAreThere", "iam", "GetRole", [arns.role(role) for role in _EXAMINED]),
        allow(
            "FollowAndEndMachines",
            "cloudformation",
            "DeleteStack DescribeStackEvents DescribeStackResources TagResource",
            arns.machine_stacks,
        ),
        allow(
            "ReadTheBaseStack",
            "cloudformation",
            "DescribeStackEvents DescribeStackResources GetTemplate",
            arns.base_stack,
        ),
    ]


def _arm_deadlines(arns: Arns) -> list[Document]:
    schedules = arns.here("scheduler", f"schedule/{base_stack_name(arns.project)}/*")
    return [
        allow("ArmDeadlines", "scheduler", "CreateSchedule DeleteSchedule GetSchedule", schedules),
        allow(
            "GiveSchedulesTheirRole",
            "iam",
            "PassRole",
            arns.role("scheduler"),
            equals("iam:PassedToService", "scheduler.amazonaws.com"),
        ),
        allow("FindDeadlines", "scheduler", "ListSchedules", "*"),
        allow(
            "SeeThatDeadlinesCanBeArmed",
            "scheduler",
            "GetScheduleGroup",
            arns.here("scheduler", f"schedule-group/{base_stack_name(arns.project)}"),
        ),
    ]


def _reach_machines(arns: Arns) -> list[Document]:
    """Look at a machine, log in to it, end one that has lost its stack."""
    instances = arns.here("ec2", "instance/*")
    # What the account prefers for sessions, where it does; and AWS's own for SSH and tunnels.
    documents = [
        arns.here("ssm", "document/SSM-SessionManagerRunShell"),
        *(
            f"arn:{arns.partition}:ssm:{arns.region}::document/{name}"
            for name in ("AWS-StartSSHSession", "AWS-StartPortForwardingSession")
        ),
    ]
    return [
        allow(
            "Diagnose",
            "ec2",
            "GetConsoleOutput",
            instances,
            equals(f"aws:ResourceTag/{PROJECT_TAG}", arns.project),
        ),
        # What has lost its stack. Only what is a machine's: the base stack's have the project's tag, too.
        allow(
            "Reap",
            "ec2",
            "DeleteLaunchTemplate DeleteSecurityGroup DeleteVolume TerminateInstances",
            [
                arns.here("ec2", f"{kind}/*")
                for kind in ("instance", "launch-template", "security-group", "volume")
            ],
            {
                **equals(f"aws:ResourceTag/{PROJECT_TAG}", arns.project),
                "StringLike": {f"aws:ResourceTag/{RUN_TAG}": "*"},
            },
        ),
        allow(
            "LogInToMachines",
            "ssm",
            "StartSession",
            instances,
            equals(f"ssm:resourceTag/{PROJECT_TAG}", arns.project),
        ),
        allow("LogInByShellAndTunnelOnly", "ssm", "StartSession", documents),
        allow(
            "EndOwnSessions",
            "ssm",
            "ResumeSession TerminateSession",
            arns.here("ssm", "session/${aws:userid}-*"),
        ),
    ]


def _use_store(arns: Arns) -> list[Document]:
    """The bucket, the images and the mirror of this project."""
    return [
        # What is deleted stays as a version for a month: these rights do not reach versions.
        allow(
            "UseTheStore", "s3", "AbortMultipartUpload DeleteObject GetObject PutObject", f"{arns.bucket}/*"
        ),
        allow("ListTheStore", "s3", "GetBucketLocation GetBucketTagging ListBucket", arns.bucket),
        allow("LogInToTheRegistry", "ecr", "GetAuthorizationToken", "*"),
        allow("PushAndPullImages", "ecr", _PUSH_AND_PULL, arns.repository),
        allow("UseTheMirror", "codecommit", "GetBranch GetCommit GetRepository GitPull GitPush", arns.mirror),
    ]


def _look() -> list[Document]:
    """What has no resources that a policy could name, and AWS's public parameters."""
    described = " ".join(f"Describe{what}" for what in _DESCRIBED.split())
    return [
        allow("FindStacks", "cloudformation", "DescribeStacks", "*"),
        allow("LookAtEc2", "ec2", described, "*"),
        allow("FindMachineImages", "ssm", "GetParameter", "arn:*:ssm:*:*:parameter/aws/service/*"),
        allow("KnowPrices", "pricing", "GetProducts", "*"),
        allow("KnowQuotas", "servicequotas", "GetServiceQuota", "*"),
        allow("KnowWhatWasBilled", "ce", "GetCostAndUsage", "*"),
    ]

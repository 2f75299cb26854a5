"""What people may do besides for sweeps on AWS Batch: policies of their own, for one has 6,144 characters."""

from __future__ import annotations

from dayfly.aws.names import PROJECT_TAG, base_stack_name
from dayfly.aws.policy_statements import Arns, Document, allow, document, equals

_LOOK = "DescribeComputeEnvironments DescribeJobDefinitions DescribeJobQueues DescribeJobs ListJobs"


def batch_admin_policy(project: str, account: str, region: str) -> Document:
    """For who sets up the base stack with Batch, besides `admin_policy`."""
    arns = Arns(project=project, account=account, region=region)
    return document(_keep_batch(arns), _make_group(arns), _give_roles(arns))


def _keep_batch(arns: Arns) -> list[Document]:
    """Environments, queues and the model of job definitions: what has the base stack's name."""
    base = base_stack_name(arns.project)
    environments, queues = (
        [arns.here("batch", f"{kind}/{base}{suffix}") for suffix in ("", "-spot")]
        for kind in ("compute-environment", "job-queue")
    )
    return [
        allow("KeepTheEnvironments", "batch", "*", environments),
        allow("KeepTheQueues", "batch", "*", queues),
        allow("KeepTheQueuesOnEnvironments", "batch", "CreateJobQueue UpdateJobQueue", environments + queues),
        allow(
            "KeepTheDefinition",
            "batch",
            "DeregisterJobDefinition RegisterJobDefinition TagResource UntagResource",
            arns.here("batch", f"job-definition/{base}-model*"),
        ),
        allow("LookAtBatch", "batch", _LOOK, "*"),
    ]


def _make_group(arns: Arns) -> list[Document]:
    """The security group of Batch's machines, which bears the project's tag from the first."""
    groups = arns.here("ec2", "security-group/*")
    return [
        allow(
            "MakeAGroup",
            "ec2",
            "CreateSecurityGroup",
            groups,
            equals(f"aws:RequestTag/{PROJECT_TAG}", arns.project),
        ),
        allow("MakeAGroupInANetwork", "ec2", "CreateSecurityGroup", arns.here("ec2", "vpc/*")),
        allow("TagTheGroup", "ec2", "CreateTags", groups, equals("ec2:CreateAction", "CreateSecurityGroup")),
        allow(
            "ChangeTheGroup",
            "ec2",
            "AuthorizeSecurityGroupEgress DeleteSecurityGroup RevokeSecurityGroupEgress "
            "UpdateSecurityGroupRuleDescriptionsEgress",
            groups,
            equals(f"aws:ResourceTag/{PROJECT_TAG}", arns.project),
        ),
    ]


def _give_roles(arns: Arns) -> list[Document]:
    return [
        allow(
            "GiveInstancesTheirRole",
            "iam",
            "PassRole",
            arns.role("batch-instance"),
            equals("iam:PassedToService", arns.ec2),
        ),
        _give_containers_their_role(arns),
        allow(
            "LetBatchBeUsedTheFirstTime",
            "iam",
            "CreateServiceLinkedRole",
            arns.iam("role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch"),
            equals("iam:AWSServiceName", "batch.amazonaws.com"),
        ),
    ]


def _give_containers_their_role(arns: Arns) -> Document:
    return allow(
        "GiveContainersTheirRole",
        "iam",
        "PassRole",
        arns.role("batch-job"),
        equals("iam:PassedToService", "ecs-tasks.amazonaws.com"),
    )


def batch_user_policy(project: str, account: str, region: str) -> Document:
    """For who submits sweeps to Batch, besides `user_policy`: only the project's images, never privileged."""
    arns = Arns(project=project, account=account, region=region)
    base = base_stack_name(project)
    jobs = arns.here("batch", "job/*")
    definitions = arns.here("batch", f"job-definition/{base}-sweep*")
    repository = arns.repository.rpartition(":repository/")[2]
    # Both in full: a star behind the domain would be met by a registry of anybody's.
    images = [
        f"{account}.dkr.ecr.{region}.{domain}/{repository}@*"
        for domain in ("amazonaws.com", "amazonaws.com.cn")
    ]
    return document(
        [
            {
                **allow("DefineSweeps", "batch", "RegisterJobDefinition", definitions),
                "Condition": {
                    "StringLike": {"batch:Image": images},
                    "BoolIfExists": {"batch:Privileged": "false"},
                },
            },
            allow(
                "SubmitSweeps",
                "batch",
                "SubmitJob",
                [
                    jobs,
                    definitions,
                    *(arns.here("batch", f"job-queue/{base}{suffix}") for suffix in ("", "-spot")),
                ],
            ),
            allow(
                "TagSweeps",
                "batch",
                "TagResource",
                [jobs, definitions],
                equals(f"aws:RequestTag/{PROJECT_TAG}", project),
            ),
            allow(
                "EndSweeps",
                "batch",
                "CancelJob TerminateJob",
                jobs,
                equals(f"aws:ResourceTag/{PROJECT_TAG}", project),
            ),
            allow("LookAtBatch", "batch", _LOOK, "*"),
            allow(
                "PointDeadlines", "scheduler", "UpdateSchedule", arns.here("scheduler", f"schedule/{base}/*")
            ),
            _give_containers_their_role(arns),
        ]
    )

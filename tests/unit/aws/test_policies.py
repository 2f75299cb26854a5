"""What each role and each person may do, and what not: asked of the documents, as AWS would get them."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase

import pytest

from dayfly.aws.names import role_name
from dayfly.aws.policy_batch import batch_user_policy
from scripts.policy_documents import ACCOUNT, PARAMETERS, PROJECT, REGION, all_documents
from tests.unit.aws.iam import (
    BUCKET,
    MACHINE_STACK,
    PREFIX,
    REPOSITORY,
    STACK,
    TAGGED,
    actions,
    allows,
    document,
    ec2,
    iam,
    many,
    mentions,
    role,
)

RUN = "20261123-101502-analysis-7f3a"
MACHINES = ["Run", "Access", "Build", "Lab"]
TOPIC = PARAMETERS["NotifyTopicArn"]

WITHOUT_RESOURCES = {
    "admin_policy": {
        "CheckTemplates",
        "FindTheMirror",
        "KnowPrices",
        "KnowQuotas",
        "LetEventsBeLogged",
        "LogInToTheRegistry",
        "LookAtEc2",
    },
    "user_policy": {
        "FindDeadlines",
        "FindStacks",
        "KnowPrices",
        "KnowQuotas",
        "KnowWhatWasBilled",
        "LogInToTheRegistry",
        "LookAtEc2",
    },
    "MachinePolicy": {"CarrySessions", "LogInToTheRegistry"},
    "BatchInstanceRole": {"FindTheClusterAndLogInToTheRegistry"},
    "batch_admin_policy": {"LookAtBatch"},
    "batch_user_policy": {"LookAtBatch"},
    "CloudFormationRole": {"LookAtResources"},
}
"""The statements on `*`: AWS knows no resource for their actions (`make check` asks parliament)."""


def key(name: str) -> str:
    return f"{BUCKET}/{name}"


def test_a_machine_policy_and_a_roles_own_documents_fit() -> None:
    for name, found in all_documents().items():
        size = len(json.dumps(found, separators=(",", ":")))
        assert size <= (2048 if name.endswith("/trust") else 6144), name


def test_every_statement_says_why_in_its_sid() -> None:
    for name, found in all_documents().items():
        sids = [one["Sid"] for one in found["Statement"]]
        assert len(set(sids)) == len(sids), name
        assert all(re.fullmatch("[A-Z][A-Za-z0-9]+", sid) for sid in sids), name


def test_only_statements_that_can_have_no_resource_are_on_a_star() -> None:
    found = {
        name: {one["Sid"] for one in policy["Statement"] if "*" in many(one.get("Resource", ""))}
        for name, policy in all_documents().items()
    }
    assert {name: sids for name, sids in found.items() if sids} == WITHOUT_RESOURCES


def test_actions_are_named_but_for_an_administrators_on_what_is_the_projects_by_name() -> None:
    for name, policy in all_documents().items():
        for one in policy["Statement"]:
            wild = [action for action in many(one["Action"]) if "*" in action]
            if not wild or one["Effect"] == "Deny":
                continue
            assert name in {"admin_policy", "batch_admin_policy"}, one["Sid"]
            named = all(PROJECT in resource for resource in many(one["Resource"]))
            assert named or wild == ["ec2:Describe*"], one["Sid"]


def test_pass_role_names_roles_of_the_project_and_one_service() -> None:
    """SECURITY 7."""
    seen = []
    for name, policy in all_documents().items():
        for one in policy["Statement"]:
            if any(action.startswith("iam:") and "PassRole" in action for action in many(one["Action"])):
                assert many(one["Action"]) == ["iam:PassRole"]
                assert not any("*" in resource for resource in many(one["Resource"])), one["Sid"]
                service = one["Condition"]["StringEquals"]["iam:PassedToService"]
                seen += [(name, service, resource.rpartition("-")[2]) for resource in many(one["Resource"])]
    instances = ["run", "access", "build", "lab"]
    assert sorted(seen) == sorted(
        [
            *(("CloudFormationRole", "ec2.amazonaws.com", kind) for kind in instances),
            *(("admin_policy", "ec2.amazonaws.com", kind) for kind in instances),
            ("user_policy", "cloudformation.amazonaws.com", "cloudformation"),
            ("user_policy", "scheduler.amazonaws.com", "scheduler"),
            ("batch_admin_policy", "ec2.amazonaws.com", "instance"),
            ("batch_admin_policy", "ecs-tasks.amazonaws.com", "job"),
            ("batch_user_policy", "ecs-tasks.amazonaws.com", "job"),
        ]
    )


@pytest.mark.parametrize("name", MACHINES)
def test_no_machine_may_touch_iam_or_delete_an_object(name: str) -> None:
    """SECURITY 8."""
    may = actions(role(name))
    assert not any(action.startswith(("iam:", "sts:")) for action in may)
    assert not any("Delete" in action for action in may if action != "cloudformation:DeleteStack")
    assert not any(action.startswith(("ec2:", "scheduler:")) for action in may)


@pytest.mark.parametrize("name", [*MACHINES, "Scheduler"])
def test_only_machine_stacks_of_the_same_project_can_be_deleted(name: str) -> None:
    """SECURITY 8. A project's name has no two hyphens in a row, so the prefix is of this project alone."""
    may = role(name)
    assert allows(may, "cloudformation:DeleteStack", MACHINE_STACK)
    assert not allows(may, "cloudformation:DeleteStack", f"{STACK}{PREFIX}/1")
    assert not allows(may, "cloudformation:DeleteStack", f"{STACK}{PREFIX}-eu--{RUN}/1")
    assert not allows(may, "cloudformation:DeleteStack", f"{STACK}other/1")
    assert not mentions(may, "cloudformation:CreateStack")


def test_the_scheduler_deletes_stacks_and_does_nothing_else() -> None:
    assert actions(role("Scheduler", Batch="false")) == ["cloudformation:DeleteStack"]


def test_with_batch_the_scheduler_ends_the_projects_sweeps_too() -> None:
    may = role("Scheduler")
    job = f"arn:aws:batch:{REGION}:{ACCOUNT}:job/3f1c"
    assert actions(may) == ["cloudformation:DeleteStack", "batch:TerminateJob"]
    assert allows(may, "batch:TerminateJob", job, **TAGGED)
    assert not allows(may, "batch:TerminateJob", job, **{"aws:ResourceTag/dayfly:project": "other"})


def test_a_point_of_a_sweep_may_read_points_and_write_runs_and_end_nothing() -> None:
    may = role("BatchJob")
    assert allows(may, "s3:GetObject", key("sweeps/s/points.jsonl"))
    assert allows(may, "s3:PutObject", key("runs/s.1/request.json"))
    assert not allows(may, "s3:PutObject", key("sweeps/s/points.jsonl"))
    assert not any(
        action.startswith(("batch:", "cloudformation:", "ecr:", "iam:")) for action in actions(may)
    )


def test_a_sweep_can_be_defined_with_images_of_the_projects_repository_only() -> None:
    may = batch_user_policy(PROJECT, ACCOUNT, REGION)["Statement"]
    [define] = [one for one in may if one["Sid"] == "DefineSweeps"]
    images = define["Condition"]["StringLike"]["batch:Image"]
    registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    for image, allowed in (
        (f"{registry}/dayfly/{PROJECT}@sha256:0", True),
        (f"{registry}.cn/dayfly/{PROJECT}@sha256:0", True),
        (f"{registry}.example.org/dayfly/{PROJECT}@sha256:0", False),
        (f"{registry}/dayfly/other@sha256:0", False),
    ):
        assert any(fnmatchcase(image, pattern) for pattern in images) is allowed, image


def test_batchs_machines_cannot_read_runs() -> None:
    assert not mentions(role("BatchInstance"), "s3:GetObject")
    assert not any(action.startswith(("s3:", "cloudformation:")) for action in actions(role("BatchInstance")))


READ = {
    "Run": {"runs", "snapshots", "images"},
    "Access": {"runs", "labs", "snapshots", "images"},
    "Build": {"builds", "images"},
    "Lab": {"labs", "snapshots", "images"},
}
WRITTEN = {
    "Run": {"runs", "status"},
    "Access": {"runs", "labs", "status"},
    "Build": {"builds", "images"},
    "Lab": {"labs"},
}
PREFIXES = {"runs", "status", "snapshots", "images", "builds", "labs", "tokens"}


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_reads_its_inputs_and_writes_its_own_prefix(name: str) -> None:
    """SECURITY 8: a build reads no runs, a lab reads no runs, nobody reads submission tokens."""
    may = role(name)
    assert {one for one in PREFIXES if allows(may, "s3:GetObject", key(f"{one}/x/y"))} == READ[name]
    assert {one for one in PREFIXES if allows(may, "s3:PutObject", key(f"{one}/x/y"))} == WRITTEN[name]
    assert not allows(may, "s3:GetObject", "arn:aws:s3:::another/runs/x")
    listed = {one for one in PREFIXES if allows(may, "s3:ListBucket", BUCKET, **{"s3:prefix": f"{one}/x/"})}
    assert listed == READ[name] | WRITTEN[name]


@pytest.mark.parametrize("name", MACHINES)
def test_an_object_that_is_not_there_is_not_found_rather_than_denied(name: str) -> None:
    """A GET asks for the right to list with no prefix: the keeper looks for stop.json every few seconds."""
    assert allows(role(name), "s3:ListBucket", BUCKET)


@pytest.mark.parametrize("name", MACHINES)
def test_only_a_build_pushes_images_and_every_machine_pulls(name: str) -> None:
    may = role(name)
    assert allows(may, "ecr:BatchGetImage", REPOSITORY)
    assert not allows(may, "ecr:BatchGetImage", f"{REPOSITORY}-other")
    pushes = {"ecr:PutImage", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"}
    for action in pushes:
        assert allows(may, action, REPOSITORY) == (name == "Build")


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_can_be_logged_in_to_by_a_session(name: str) -> None:
    assert allows(role(name), "ssm:UpdateInstanceInformation", ec2("instance/i-0a"))
    assert allows(role(name), "ssmmessages:OpenDataChannel", "*")


@pytest.mark.parametrize("name", MACHINES)
def test_topic_and_mirror_are_reached_only_where_there_is_one(name: str) -> None:
    with_both, without = role(name), role(name, NotifyTopicArn="", KeepMirror="false")
    assert allows(with_both, "sns:Publish", TOPIC)
    assert not allows(with_both, "sns:Publish", f"{TOPIC}-other")
    assert allows(with_both, "codecommit:GitPull", f"arn:aws:codecommit:{REGION}:{ACCOUNT}:{PREFIX}")
    assert not mentions(with_both, "codecommit:GitPush")
    assert not mentions(without, "sns:Publish")
    assert not mentions(without, "codecommit:GitPull")


CLOUDFORMATION_MAY: list[tuple[str, str, dict[str, str]]] = [
    (
        "ec2:RunInstances",
        ec2("instance/*"),
        {"aws:RequestTag/dayfly:project": PROJECT, "ec2:MetadataHttpTokens": "required"},
    ),
    ("ec2:RunInstances", ec2("volume/*"), {"ec2:Encrypted": "true"}),
    ("ec2:RunInstances", ec2("subnet/subnet-0a"), {"ec2:Vpc": ec2("vpc/vpc-0a1b2c3d")}),
    ("ec2:RunInstances", ec2("launch-template/lt-0a"), TAGGED),
    ("ec2:RunInstances", ec2(f"key-pair/{PREFIX}"), {}),
    ("ec2:RunInstances", ec2("spot-instances-request/*"), {}),
    ("ec2:TerminateInstances", ec2("instance/i-0a"), TAGGED),
    ("ec2:AuthorizeSecurityGroupIngress", ec2("security-group/sg-0a"), TAGGED),
    ("ec2:CreateSecurityGroup", ec2("vpc/vpc-0a1b2c3d"), {}),
    ("ec2:CreateTags", ec2("instance/i-0a"), {"ec2:CreateAction": "RunInstances"}),
    ("ec2:AssociateAddress", ec2("elastic-ip/eipalloc-0a"), TAGGED),
    (
        "iam:PassRole",
        iam(f"role/{role_name(PROJECT, REGION, 'run')}"),
        {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
]
CLOUDFORMATION_MAY_NOT: list[tuple[str, str, dict[str, str]]] = [
    # without the project's tag; without IMDSv2
    ("ec2:RunInstances", ec2("instance/*"), {"ec2:MetadataHttpTokens": "required"}),
    (
        "ec2:RunInstances",
        ec2("instance/*"),
        {"aws:RequestTag/dayfly:project": PROJECT, "ec2:MetadataHttpTokens": "optional"},
    ),
    ("ec2:RunInstances", ec2("volume/*"), {"ec2:Encrypted": "false"}),
    ("ec2:RunInstances", ec2("subnet/subnet-0a"), {"ec2:Vpc": ec2("vpc/vpc-other")}),
    ("ec2:RunInstances", ec2("security-group/sg-0a"), {"aws:ResourceTag/dayfly:project": "other"}),
    ("ec2:RunInstances", ec2("key-pair/another"), {}),
    ("ec2:TerminateInstances", ec2("instance/i-0a"), {"aws:ResourceTag/dayfly:project": "other"}),
    ("ec2:TerminateInstances", ec2("instance/i-0a"), {}),
    ("ec2:AuthorizeSecurityGroupIngress", ec2("security-group/sg-0a"), {}),
    ("ec2:CreateSecurityGroup", ec2("vpc/vpc-other"), {}),
    # claiming another's machine by tagging it
    ("ec2:CreateTags", ec2("instance/i-0a"), {"aws:RequestTag/dayfly:project": PROJECT}),
    ("ec2:CreateTags", ec2("security-group/sg-0a"), {"aws:RequestTag/dayfly:project": PROJECT}),
    (
        "iam:PassRole",
        iam(f"role/{role_name(PROJECT, REGION, 'cloudformation')}"),
        {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    ("iam:PassRole", iam("role/admin"), {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("iam:CreateRole", iam("role/any"), {}),
    ("s3:GetObject", key(f"runs/{RUN}/output.ipynb"), {}),
]


@pytest.mark.parametrize(("action", "resource", "context"), CLOUDFORMATION_MAY)
def test_the_service_role_makes_and_ends_the_projects_machines(
    action: str, resource: str, context: dict[str, str]
) -> None:
    assert allows(role("CloudFormation"), action, resource, **context)


@pytest.mark.parametrize(("action", "resource", "context"), CLOUDFORMATION_MAY_NOT)
def test_the_service_role_makes_and_ends_nothing_else(
    action: str, resource: str, context: dict[str, str]
) -> None:
    """Who submits runs may give it any template: it is the limit of what they can make."""
    assert not allows(role("CloudFormation"), action, resource, **context)


def test_trust_names_one_service_each_and_schedules_of_the_projects_group_only() -> None:
    for name in MACHINES:
        [one] = document(f"{name}Role/trust")["Statement"]
        assert one["Principal"] == {"Service": "ec2.amazonaws.com"}
    [one] = document("CloudFormationRole/trust")["Statement"]
    assert one["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    [one] = document("SchedulerRole/trust")["Statement"]
    assert one["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert one["Condition"]["StringEquals"] == {
        "aws:SourceAccount": ACCOUNT,
        "aws:SourceArn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/{PREFIX}",
    }

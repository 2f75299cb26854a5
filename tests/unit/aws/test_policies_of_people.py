"""What a person with one of the two policies may do, and what not; and that it is enough for the product."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import dayfly
from dayfly.aws.names import role_name
from dayfly.aws.policies import admin_policy, user_policy
from scripts.policy_documents import ACCOUNT, PROJECT, REGION
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
)

RUN = "20261123-101502-analysis-7f3a"
LONGEST = ("a" * 24, ACCOUNT, "ap-southeast-1")


def key(name: str) -> str:
    return f"{BUCKET}/{name}"


@pytest.mark.parametrize(
    ("policy", "limit"), [(admin_policy, 6144), (user_policy, 6144)], ids=["admin", "user"]
)
def test_a_persons_policy_fits_a_managed_policy_for_the_longest_names(policy: Any, limit: int) -> None:
    text = json.dumps(policy(*LONGEST), separators=(",", ":"))
    assert len(re.sub(r"\s", "", text)) <= limit


def test_who_submits_runs_makes_machines_only_by_cloudformations_role() -> None:
    """SECURITY 9."""
    user = document("user_policy")
    ours = iam(f"role/{role_name(PROJECT, REGION, 'cloudformation')}")
    theirs = iam("role/admin")
    assert allows(user, "cloudformation:CreateStack", MACHINE_STACK, **{"cloudformation:RoleArn": ours})
    assert not allows(user, "cloudformation:CreateStack", MACHINE_STACK)
    assert not allows(user, "cloudformation:CreateStack", MACHINE_STACK, **{"cloudformation:RoleArn": theirs})
    assert not allows(
        user, "cloudformation:CreateStack", f"{STACK}{PREFIX}/1", **{"cloudformation:RoleArn": ours}
    )
    assert not mentions(user, "ec2:RunInstances")
    assert {action for action in actions(user) if action.startswith("iam:")} == {
        "iam:GetRole",
        "iam:PassRole",
    }


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("cloudformation:DeleteStack", f"{STACK}{PREFIX}/1"),
        ("cloudformation:UpdateStack", f"{STACK}{PREFIX}/1"),
        ("s3:DeleteObjectVersion", key("runs/x/output.ipynb")),
        ("s3:DeleteBucket", BUCKET),
        ("s3:PutBucketPolicy", BUCKET),
        ("s3:GetObject", "arn:aws:s3:::another/x"),
        ("ecr:BatchDeleteImage", REPOSITORY),
        ("ec2:TerminateInstances", ec2("instance/i-0a")),
        ("ssm:StartSession", ec2("instance/i-0a")),
        ("ssm:SendCommand", ec2("instance/i-0a")),
        ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/secret"),
        ("scheduler:DeleteSchedule", f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/other/x"),
    ],
)
def test_who_submits_runs_may_not(action: str, resource: str) -> None:
    """SECURITY 9. Instances without the project's tag are another's."""
    assert not allows(document("user_policy"), action, resource)


def test_who_submits_runs_may_look_into_and_end_the_projects_machines() -> None:
    user = document("user_policy")
    for action in ("ssm:StartSession", "ec2:GetConsoleOutput"):
        assert allows(user, action, ec2("instance/i-0a"), **TAGGED)
    a_run = {**TAGGED, "aws:ResourceTag/dayfly:run": RUN}
    assert allows(user, "ec2:TerminateInstances", ec2("instance/i-0a"), **a_run)
    assert allows(user, "ec2:DeleteLaunchTemplate", ec2("launch-template/lt-0a"), **a_run)
    assert not allows(user, "ec2:DeleteLaunchTemplate", ec2("launch-template/lt-base"), **TAGGED)
    assert allows(user, "ssm:StartSession", f"arn:aws:ssm:{REGION}::document/AWS-StartSSHSession")
    assert allows(user, "cloudformation:DeleteStack", MACHINE_STACK)


def test_an_administrator_makes_roles_of_the_projects_name_only() -> None:
    admin = document("admin_policy")
    assert allows(admin, "iam:CreateRole", iam(f"role/{role_name(PROJECT, REGION, 'run')}"))
    assert not allows(admin, "iam:CreateRole", iam("role/admin"))
    user_may = iam(f"policy/{PREFIX}-{REGION}-user")
    ours, theirs = iam(f"user/dayfly/{PROJECT}/jo"), iam("user/somebody")
    assert allows(admin, "iam:AttachUserPolicy", ours, **{"iam:PolicyARN": user_may})
    assert not allows(admin, "iam:AttachUserPolicy", ours, **{"iam:PolicyARN": iam("policy/admin")})
    assert not allows(admin, "iam:AttachUserPolicy", theirs, **{"iam:PolicyARN": user_may})
    assert not allows(admin, "iam:CreateAccessKey", theirs)
    assert not mentions(admin, "ec2:RunInstances")


_CALL = re.compile(
    r"\baws\.(?P<service>cloudformation|ec2|s3|ecr|iam|scheduler|ssm|quotas|codecommit|pricing|cost_explorer)"
    r"\s*\.(?:get_paginator\(\s*\"(?P<paginated>\w+)\"|(?P<method>[a-z_0-9]+)\()"
)
_PREFIX = {"quotas": "servicequotas", "cost_explorer": "ce"}
_IAM_NAME = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:HeadObject": "s3:GetObject",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
}
"""Where an action has another name in IAM than in the API."""


OF_WHO_SETS_UP = {"base_apply", "base_parameters", "base_status", "emptying", "iam_user"}
"""The modules that only `dayfly cloud up`, `status` and `down` use."""


def calls() -> dict[str, set[str]]:
    """Every action that the product calls through `Aws`, as IAM names it, by module.

    The rehearsal is left out: it is the administrator of an account of its own.
    """
    found: dict[str, set[str]] = {}
    package = Path(dayfly.__file__).parent
    for file in set(package.rglob("*.py")) - set((package / "rehearsal").rglob("*.py")):
        for match in _CALL.finditer(file.read_text(encoding="utf-8")):
            method = match["paginated"] or match["method"]
            if method in {"get_waiter", "get_paginator"}:
                continue
            service = _PREFIX.get(match["service"], match["service"])
            action = f"{service}:{''.join(one[:1].upper() + one[1:] for one in str(method).split('_'))}"
            found.setdefault(file.stem, set()).add(_IAM_NAME.get(action, action))
    return found


def test_whatever_the_product_calls_is_allowed_to_who_needs_it() -> None:
    found = calls()
    everything = set().union(*found.values())
    assert {"cloudformation:CreateStack", "ec2:DescribeSubnets", "pricing:GetProducts"} <= everything
    submitting = set().union(*(those for name, those in found.items() if name not in OF_WHO_SETS_UP))
    both = [document("user_policy"), document("batch_user_policy")]
    assert {action for action in submitting if not any(mentions(one, action) for one in both)} == set()
    setting_up = set().union(*(found[name] for name in OF_WHO_SETS_UP))
    assert {action for action in setting_up if not mentions(document("admin_policy"), action)} == set()


def test_no_link_that_carries_its_own_rights_is_made() -> None:
    """SECURITY 21: objects are read with credentials; there is no presigned link that could leak."""
    files = Path(dayfly.__file__).parent.rglob("*.py")
    assert not [
        file.name for file in files if re.search("presign|sign_url", file.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(
    ("region", "partition", "service"),
    [
        ("eu-central-1", "aws", "ec2.amazonaws.com"),
        ("us-gov-west-1", "aws-us-gov", "ec2.amazonaws.com"),
        ("cn-north-1", "aws-cn", "ec2.amazonaws.com.cn"),
    ],
)
def test_other_partitions_have_their_own_arns(region: str, partition: str, service: str) -> None:
    for policy in (admin_policy, user_policy):
        found = policy("sales", ACCOUNT, region)
        arns = [arn for one in found["Statement"] for arn in many(one["Resource"]) if arn != "*"]
        assert {arn.split(":")[1] for arn in arns} <= {partition, "*"}
    [passing] = [
        one
        for one in admin_policy("sales", ACCOUNT, region)["Statement"]
        if one["Sid"] == "PutRolesInProfiles"
    ]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": service}}

"""The machine's role, with the credentials that a booted instance really has (SECURITY 8).

Each step that needs a right fails, and says so, when that right is taken away; what the role must not do is
denied from inside. The rights are taken away by a policy that denies them, which weighs more than one that
allows: what the machine is told is the same as if it had never had them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dayfly.rehearsal.session import PROJECT, Rehearsal
from dayfly.runs.follow import MachineReader
from dayfly.runs.run import Run
from tests.rehearsal.permissions_bench import GONE_WITHIN_S, Calls, inside_of, with_aws
from tests.rehearsal.rehearsed import Rehearsed

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
OTHER = "dayfly-another"


@contextmanager
def without(rehearsal: Rehearsal, *actions: str, resource: str = "*") -> Iterator[None]:
    """The role of runs without these rights."""
    statement = {"Effect": "Deny", "Action": list(actions), "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    named = {"RoleName": rehearsal.base.run_profile, "PolicyName": "less"}
    rehearsal.aws.iam.put_role_policy(**named, PolicyDocument=document)
    try:
        yield
    finally:
        rehearsal.aws.iam.delete_role_policy(**named)


def make_topic(rehearsed: Rehearsed) -> str:
    """A topic that the base stack has been told of: its machines may publish to it."""
    topic: str = rehearsed.rehearsal.aws.session.client("sns").create_topic(Name="ends")["TopicArn"]
    rehearsed.cli("cloud", "up", "--notify-topic", topic, "--yes")
    return topic


def words(run: Run) -> list[dict[str, Any]]:
    """What the machine has said."""
    return MachineReader(run.store, run.run_id).read()


def test_without_the_right_to_write_nothing_is_begun(rehearsed: Rehearsed) -> None:
    """It cannot tell: who looks sees that no sign of life ever came. The machine goes by itself."""
    bucket = f"arn:aws:s3:::{rehearsed.rehearsal.base.bucket}"
    with without(rehearsed.rehearsal, "s3:PutObject", resource=f"{bucket}/*"):
        run = rehearsed.submit("hello")
        machine = rehearsed.machine(run)
        rehearsed.gone(run, within_s=GONE_WITHIN_S)
    left = rehearsed.left(run)
    assert (left.state, words(run)) == ("never_started", [])
    assert machine.ended
    assert rehearsed.stack(run) == "gone"


def test_without_the_right_to_read_its_inputs_it_says_which_it_cannot_have(rehearsed: Rehearsed) -> None:
    bucket = f"arn:aws:s3:::{rehearsed.rehearsal.base.bucket}"
    with without(rehearsed.rehearsal, "s3:GetObject", resource=f"{bucket}/snapshots/*"):
        run = rehearsed.submit("hello")
        rehearsed.gone(run, within_s=GONE_WITHIN_S)
    left = rehearsed.left(run)
    assert (left.state, left.reason) == ("never_started", "boot_failed")
    assert "snapshot" in left.said
    assert "403" in left.said or "denied" in left.said.lower()


def test_without_the_right_to_the_registry_the_pull_fails(rehearsed: Rehearsed) -> None:
    with without(rehearsed.rehearsal, "ecr:GetAuthorizationToken"):
        run = rehearsed.submit("hello")
        rehearsed.gone(run, within_s=GONE_WITHIN_S)
    left = rehearsed.left(run)
    assert (left.state, left.reason) == ("never_started", "pull_failed")
    assert "GetAuthorizationToken" in left.said
    assert b"AccessDenied" in rehearsed.machine_log(run)


def test_without_the_rights_of_the_end_it_powers_off_and_the_deadline_does_the_rest(
    rehearsed: Rehearsed,
) -> None:
    """Neither a message nor a deleted stack; the run is whole."""
    rehearsal = rehearsed.rehearsal
    topic = make_topic(rehearsed)
    with (
        without(rehearsal, "cloudformation:DeleteStack", "sns:Publish"),
        with_aws(rehearsed, notify=topic),
    ):
        run = rehearsed.submit("hello", "--dirty")
        rehearsed.gone(run, within_s=GONE_WITHIN_S)
    left = rehearsed.left(run)
    assert (left.state, left.teardown) == ("succeeded", "alive"), "its stack stands"
    assert any("notification" in warning for warning in left.warnings)
    assert any("cannot delete its stack" in warning for warning in left.warnings)
    assert rehearsed.machine(run).ended == "powered off"
    rehearsed.let_deadline_pass(run)
    assert rehearsed.stack(run) == "gone"
    callers = {one["caller"] for one in rehearsal.around.emulator.requests(operation="DeleteStack")}
    assert any(":assumed-role/" in one and "-scheduler/" in one for one in callers), callers


def allowed(rehearsal: Rehearsal, topic: str) -> Calls:
    """What a run's machine needs, each as it asks for it."""
    base = rehearsal.base
    bucket = base.bucket
    return [
        ("s3", "put_object", {"Bucket": bucket, "Key": "status/x"}),
        ("s3", "put_object", {"Bucket": bucket, "Key": "runs/x/machine/000000000000.jsonl"}),
        ("s3", "get_object", {"Bucket": bucket, "Key": "runs/x/machine/000000000000.jsonl"}),
        ("ecr", "get_authorization_token", {}),
        ("cloudformation", "delete_stack", {"StackName": f"dayfly-{PROJECT}--nobodys"}),
        ("sns", "publish", {"TopicArn": topic, "Message": "dayfly: run x: succeeded"}),
    ]


RIGHTS = (
    "s3:PutObject",
    "s3:PutObject",
    "s3:GetObject",
    "ecr:GetAuthorizationToken",
    "cloudformation:DeleteStack",
    "sns:Publish",
)


def forbidden(rehearsal: Rehearsal, instance_id: str) -> Calls:
    """What a run's machine must not do."""
    base = rehearsal.base
    bucket, role, group = base.bucket, base.run_profile, f"dayfly-{PROJECT}"
    repository = base.repository_uri.partition("/")[2]
    arn = f"arn:aws:iam::{base.account}"
    schedule = {"ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}}
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:runInstances", "RoleArn": f"{arn}:role/{role}"}
    instance = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "m7i.large", "MinCount": 1, "MaxCount": 1}
    everything = json.dumps({"Version": "2012-10-17", "Statement": []})
    profile = {"IamInstanceProfile": {"Name": base.build_profile}}
    return [
        # Other stacks.
        ("cloudformation", "delete_stack", {"StackName": base.stack_id}),
        ("cloudformation", "delete_stack", {"StackName": f"{OTHER}--20261123-101502-nb-7f3a"}),
        ("cloudformation", "describe_stacks", {}),
        ("cloudformation", "create_stack", {"StackName": f"dayfly-{PROJECT}--mine", "TemplateBody": "{}"}),
        ("cloudformation", "update_stack", {"StackName": base.stack_id, "TemplateBody": "{}"}),
        # Rights.
        ("iam", "list_roles", {}),
        ("iam", "create_user", {"UserName": "mine"}),
        ("iam", "create_access_key", {"UserName": "mine"}),
        ("iam", "put_role_policy", {"RoleName": role, "PolicyName": "x", "PolicyDocument": everything}),
        (
            "iam",
            "attach_role_policy",
            {"RoleName": role, "PolicyArn": "arn:aws:iam::aws:policy/IAMFullAccess"},
        ),
        ("sts", "assume_role", {"RoleArn": base.cloudformation_role_arn, "RoleSessionName": "mine"}),
        # Machines.
        ("ec2", "describe_instances", {}),
        ("ec2", "run_instances", instance),
        ("ec2", "run_instances", {**instance, **profile}),
        ("ec2", "terminate_instances", {"InstanceIds": [instance_id]}),
        (
            "ec2",
            "create_tags",
            {"Resources": [instance_id], "Tags": [{"Key": "dayfly:project", "Value": "x"}]},
        ),
        (
            "ec2",
            "modify_instance_metadata_options",
            {"InstanceId": instance_id, "HttpPutResponseHopLimit": 2},
        ),
        # Deadlines.
        ("scheduler", "list_schedules", {}),
        ("scheduler", "delete_schedule", {"Name": "x", "GroupName": group}),
        ("scheduler", "create_schedule", {"Name": "x", "GroupName": group, "Target": target, **schedule}),
        # Objects: other prefixes, deletion, other projects.
        *(
            ("s3", "get_object", {"Bucket": bucket, "Key": f"{name}/x"})
            for name in ("builds", "labs", "tokens")
        ),
        *(
            ("s3", "put_object", {"Bucket": bucket, "Key": f"{name}/x"})
            for name in ("snapshots", "images", "builds", "labs", "tokens")
        ),
        *(("s3", "delete_object", {"Bucket": bucket, "Key": f"{name}/x"}) for name in ("runs", "status")),
        ("s3", "list_objects_v2", {"Bucket": bucket, "Prefix": "builds/"}),
        ("s3", "delete_bucket", {"Bucket": bucket}),
        (
            "s3",
            "put_bucket_versioning",
            {"Bucket": bucket, "VersioningConfiguration": {"Status": "Suspended"}},
        ),
        ("s3", "get_object", {"Bucket": OTHER, "Key": "runs/x"}),
        ("s3", "put_object", {"Bucket": OTHER, "Key": "runs/x"}),
        ("s3", "list_objects_v2", {"Bucket": OTHER}),
        ("s3", "list_buckets", {}),
        # Images.
        ("ecr", "initiate_layer_upload", {"repositoryName": repository}),
        ("ecr", "put_image", {"repositoryName": repository, "imageManifest": "{}", "imageTag": "mine"}),
        ("ecr", "batch_delete_image", {"repositoryName": repository, "imageIds": [{"imageTag": "x"}]}),
        ("ecr", "batch_get_image", {"repositoryName": "dayfly/another", "imageIds": [{"imageTag": "x"}]}),
        # Others' messages, secrets and machines.
        ("sns", "publish", {"TopicArn": f"arn:aws:sns:us-east-1:{base.account}:other", "Message": "x"}),
        ("secretsmanager", "get_secret_value", {"SecretId": "x"}),
        ("ssm", "get_parameter", {"Name": "/x"}),
        ("ssm", "send_command", {"InstanceIds": [instance_id], "DocumentName": "AWS-RunShellScript"}),
    ]


def test_from_inside_each_right_can_be_taken_away_and_what_must_not_be_is_denied(
    rehearsed: Rehearsed,
) -> None:
    """On one booted machine, while its notebook waits."""
    rehearsal = rehearsed.rehearsal
    rehearsal.aws.s3.create_bucket(Bucket=OTHER)
    topic = make_topic(rehearsed)
    run = rehearsed.submit("waits")
    inside = inside_of(rehearsed, rehearsed.machine(run))
    wait_until_it_runs(run)
    needed, denied = allowed(rehearsal, topic), forbidden(rehearsal, inside.instance_id)
    who = inside.sh("aws sts get-caller-identity --query Arn --output text").strip()
    assert who.endswith(f":assumed-role/{rehearsal.base.run_profile}/{inside.instance_id}")
    answers = inside.calls(needed + denied)
    assert answers[: len(needed)] == ["ok"] * len(needed)
    not_denied = [
        (call, code) for call, code in zip(denied, answers[len(needed) :], strict=True) if code not in DENIED
    ]
    assert not_denied == []
    for call, right in zip(needed, RIGHTS, strict=True):
        with without(rehearsal, right):
            (code,) = inside.calls([call])
        assert code in DENIED, (call, code)
    rehearsed.go(run)
    rehearsed.gone(run, within_s=GONE_WITHIN_S)
    assert rehearsed.left(run).state == "succeeded", "what it was told meanwhile did not end it"


def wait_until_it_runs(run: Run) -> None:
    """Until the notebook has printed something."""
    give_up = time.monotonic() + GONE_WITHIN_S
    while "waiting" not in run.log():
        assert time.monotonic() < give_up, words(run)
        time.sleep(0.2)

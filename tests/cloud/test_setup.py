"""Setting up, looking after and taking down, on the emulated AWS.

It proves the order of the calls, what is left after a failure, and that all of it can be repeated. That AWS
takes these templates and policies, schemas prove (tests/unit/aws), and no emulator.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.base import load_base
from dayfly.aws.base_apply import ChangeSet, discard_change, execute_change, prepare_change
from dayfly.aws.base_down import apply_down, plan_down
from dayfly.aws.base_parameters import BaseOptions
from dayfly.aws.base_plan import BasePlan, plan_base
from dayfly.aws.base_status import load_status
from dayfly.aws.base_up import Dialogue, Outcome, bring_up
from dayfly.aws.cache import Cache
from dayfly.aws.client import Aws
from dayfly.aws.doctor import Finding, Patient, Verdict, examine, examine_base, examine_identity
from dayfly.aws.doctor_checks import PROBE, cloud_checks
from dayfly.aws.extras import Extras
from dayfly.aws.iam_user import create_key, ensure_user
from dayfly.aws.identity import load_identity
from dayfly.aws.policies import user_policy
from dayfly.aws.stacks import (
    DELETED,
    StackEvent,
    delete_stack,
    find_stack,
    last_event_id,
    wait_for_stack,
)
from dayfly.backends.stores import open_bucket
from dayfly.errors import AwsError, RunConflictError, UsageError
from dayfly.rehearsal.emulator import Emulator
from tests.cloud.stacks import base_stack, machine_stack, start_machine

PROJECT = "rehearsal"
NAME = f"dayfly-{PROJECT}"
CountCalls = Callable[[], AbstractContextManager[list[dict[str, Any]]]]


def plan(aws: Aws, **asked: Any) -> BasePlan:
    options = BaseOptions(**asked)
    return plan_base(aws, project=PROJECT, identity=load_identity(aws), options=options, extras=Extras())


class Person:
    """Answers, and remembers what was asked and told."""

    def __init__(self, *, says: bool = True) -> None:
        self.says = says
        self.plans: list[BasePlan] = []
        self.changes: list[ChangeSet] = []
        self.told: list[str] = []
        self.events: list[StackEvent] = []

    def dialogue(self) -> Dialogue:
        return Dialogue(
            agree_to_plan=self._see_plan,
            agree_to_changes=self._see_changes,
            tell=self.told.append,
            on_event=self.events.append,
        )

    def _see_plan(self, plan: BasePlan) -> bool:
        self.plans.append(plan)
        return self.says

    def _see_changes(self, _: BasePlan, change: ChangeSet) -> bool:
        self.changes.append(change)
        return self.says


def up(aws: Aws, person: Person | None = None, **asked: Any) -> Outcome:
    return bring_up(aws, lambda: plan(aws, **asked), (person or Person()).dialogue())


def down(aws: Aws, *, delete_data: bool = False, force: bool = False) -> list[str]:
    told: list[str] = []
    account = load_identity(aws).account
    planned = plan_down(aws, PROJECT, account, delete_data=delete_data, force=force)
    apply_down(aws, planned, tell=told.append, on_event=lambda _: None)
    return told


def reads_only(calls: Sequence[dict[str, Any]]) -> bool:
    return all(one["operation"].startswith(("Describe", "Get", "List", "Head")) for one in calls)


# ---- up


def test_planning_only_reads(aws: Aws, count_calls: CountCalls) -> None:
    with count_calls() as calls:
        found = plan(aws)
    assert calls
    assert reads_only(calls), calls
    assert found.action == "create"
    assert find_stack(aws, NAME) is None


def test_who_says_no_has_nothing(aws: Aws, count_calls: CountCalls) -> None:
    person = Person(says=False)
    with count_calls() as calls:
        assert not up(aws, person).agreed
    assert reads_only(calls), calls
    assert len(person.plans) == 1


def test_up_makes_a_base_stack_that_can_be_used_and_up_again_changes_nothing(aws: Aws) -> None:
    first, second = Person(), Person()
    assert up(aws, first).changed
    assert load_base(aws, PROJECT).subnet_ids
    assert first.events[-1].status == "CREATE_COMPLETE"
    assert not up(aws, second).changed
    assert (second.plans, second.changes) == ([], [])


def test_what_is_not_given_again_stays(aws: Aws) -> None:
    up(aws, elastic_ip=True, mirror=True)
    assert not up(aws).changed
    base = load_base(aws, PROJECT)
    assert base.mirror == NAME
    assert base.elastic_ip_allocation


def test_an_update_shows_what_changes_and_can_be_declined(aws: Aws) -> None:
    up(aws)
    person = Person(says=False)
    assert not up(aws, person, elastic_ip=True).agreed
    assert person.changes[0].changes
    assert load_base(aws, PROJECT).elastic_ip_allocation == ""
    left = aws.cloudformation.list_change_sets(StackName=NAME)["Summaries"]
    assert [one for one in left if one["ExecutionStatus"] == "AVAILABLE"] == []


def test_a_network_of_its_own(aws: Aws) -> None:
    up(aws, network="create")
    base = load_base(aws, PROJECT)
    found = aws.ec2.describe_subnets(SubnetIds=list(base.subnet_ids))["Subnets"]
    assert {one["VpcId"] for one in found} == {base.vpc_id}
    assert all(one["MapPublicIpOnLaunch"] for one in found)


def test_a_failed_creation_names_the_first_resource_that_failed_and_leaves_no_stack(aws: Aws) -> None:
    def plan_and_get_in_the_way() -> BasePlan:
        found = plan(aws, mirror=True)
        aws.codecommit.create_repository(repositoryName=NAME)
        return found

    with pytest.raises(AwsError) as caught:
        bring_up(aws, plan_and_get_in_the_way, Person().dialogue())
    assert "could not be created" in caught.value.what
    assert caught.value.why.startswith("Mirror (AWS::CodeCommit::Repository): ")
    assert find_stack(aws, NAME) is None


def test_what_a_failed_attempt_left_is_deleted_first_with_a_word(aws: Aws) -> None:
    aws.codecommit.create_repository(repositoryName="taken")
    taken = {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": "taken"}}
    aws.cloudformation.create_stack(
        StackName=NAME,
        TemplateBody=json.dumps({"Resources": {"Taken": taken}}),
        OnFailure="ROLLBACK",
        Tags=[{"Key": "dayfly:project", "Value": PROJECT}],
    )
    aws.sleep(5)
    stack = find_stack(aws, NAME)
    assert stack is not None
    assert stack.status == "ROLLBACK_COMPLETE"
    person = Person()
    assert up(aws, person).changed
    assert person.told == [f"{NAME} is ROLLBACK_COMPLETE: what is left of it is deleted first."]


def test_two_at_once_make_one_base_stack_and_the_second_finds_it_made(aws: Aws) -> None:
    """The other one is faster between the working out of the change and carrying it out."""
    mine = prepare_change(aws, plan(aws))
    assert mine is not None
    others = prepare_change(aws, plan(aws))
    assert others is not None
    execute_change(aws, others, lambda _: None)
    with pytest.raises(AwsError) as caught:
        execute_change(aws, mine, lambda _: None)
    assert caught.value.code == "Interfered"
    assert not up(aws).changed
    discard_change(aws, mine)
    assert load_base(aws, PROJECT).status == "CREATE_COMPLETE"


def test_a_stack_bucket_or_repository_of_somebody_else_is_left_alone(aws: Aws) -> None:
    bucket = plan(aws).parameters["BucketName"]
    aws.s3.create_bucket(Bucket=bucket)
    with pytest.raises(AwsError, match="not this project's"):
        plan(aws)
    aws.s3.delete_bucket(Bucket=bucket)
    aws.ecr.create_repository(repositoryName=f"dayfly/{PROJECT}")
    with pytest.raises(AwsError, match="not this project's"):
        plan(aws)
    aws.ecr.delete_repository(repositoryName=f"dayfly/{PROJECT}")
    topic = {"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}
    aws.cloudformation.create_stack(StackName=NAME, TemplateBody=json.dumps(topic))
    with pytest.raises(AwsError, match="not this project's"):
        plan(aws)


def test_a_subnet_that_is_not_there_is_named(aws: Aws) -> None:
    with pytest.raises(UsageError, match="subnet-0123456789abcdef0"):
        plan(aws, network="subnet-0123456789abcdef0")


# ---- down


@pytest.mark.fault(39)
def test_down_keeps_bucket_and_images_and_up_uses_them_again(aws: Aws) -> None:
    up(aws)
    base = load_base(aws, PROJECT)
    aws.s3.put_object(Bucket=base.bucket, Key="runs/x/output.ipynb", Body=b"{}")
    down(aws)
    assert find_stack(aws, NAME) is None
    again = plan(aws)
    assert again.parameters["CreateBucket"] == "false"
    assert again.parameters["CreateRepository"] == "false"
    assert "Bucket" not in {one.logical_id for one in again.resources}
    up(aws)
    assert aws.s3.get_object(Bucket=base.bucket, Key="runs/x/output.ipynb")["Body"].read() == b"{}"


def test_down_refuses_while_a_machine_lives_and_names_it_and_force_ends_it(
    aws: Aws, emulator: Emulator
) -> None:
    base = base_stack(aws, PROJECT)
    start_machine(aws, base, "20261123-101502-alive-7f3a")
    with pytest.raises(RunConflictError) as caught:
        down(aws)
    assert "20261123-101502-alive-7f3a" in str(caught.value)
    assert find_stack(aws, NAME) is not None
    down(aws, force=True)
    assert find_stack(aws, NAME) is None
    assert emulator.instances() == []


def test_delete_data_empties_every_version_and_image_and_can_be_cut_off_and_repeated(
    aws: Aws, emulator: Emulator
) -> None:
    """FAULTS 39: the base stack is removed while bucket and images are full."""
    up(aws, mirror=True)
    base = load_base(aws, PROJECT)
    for number in range(30):
        aws.s3.put_object(Bucket=base.bucket, Key=f"status/{number}", Body=b"1")
        aws.s3.put_object(Bucket=base.bucket, Key=f"status/{number}", Body=b"2")
    aws.s3.delete_object(Bucket=base.bucket, Key="status/0")
    manifest = json.dumps({"schemaVersion": 2, "layers": []})
    aws.ecr.put_image(repositoryName=f"dayfly/{PROJECT}", imageManifest=manifest, imageTag="one")
    emulator.fault("s3:DeleteObject", kind="fail", times=10, code="InternalError", status=500)
    with pytest.raises(AwsError):
        down(aws, delete_data=True)
    assert find_stack(aws, NAME) is None
    emulator.fault("ecr:DeleteRepository", kind="deny")
    with pytest.raises(AwsError):
        down(aws, delete_data=True)
    down(aws, delete_data=True)
    left = plan_down(aws, PROJECT, base.account, delete_data=True, force=False)
    assert left.nothing
    assert left.kept.words == []


# ---- looking after


def test_status_counts_every_version_and_finds_no_drift(aws: Aws) -> None:
    base = base_stack(aws, PROJECT)
    for content in (b"1", b"22"):
        aws.s3.put_object(Bucket=base.bucket, Key="status/x", Body=content)
    found = load_status(aws, base, Extras(), drift=True)
    assert (found.storage.objects, found.storage.versions, found.storage.bucket_bytes) == (1, 2, 3)
    assert found.monthly is None  # no price is known, and none is made up
    assert found.drift == ()


def checkup(aws: Aws, tmp_path: Path, image_key: str | None = None) -> dict[str, Finding]:
    identity, found = examine_identity(aws)
    assert identity is not None
    base, of_base = examine_base(aws, PROJECT)
    if base is not None:
        store = open_bucket(base.bucket, region=aws.region)
        patient = Patient(aws=aws, project=PROJECT, identity=identity, base=base, store=store)
        found = [*found, *examine(cloud_checks(patient, Cache(directory=tmp_path, now=aws.now), image_key))]
    return {one.check: one for one in [*found, *of_base]}


def test_the_doctor_finds_all_well_but_the_image_that_nobody_has_pushed(aws: Aws, tmp_path: Path) -> None:
    base_stack(aws, PROJECT)
    found = checkup(aws, tmp_path, image_key="f" * 64)
    assert [name for name, one in found.items() if one.verdict is not Verdict.OK] == ["image"]
    assert "dayfly image build --on ec2" in found["image"].mend


def test_the_doctor_says_how_to_set_up_what_is_not_there(aws: Aws, tmp_path: Path) -> None:
    found = checkup(aws, tmp_path)
    assert found["base stack"].verdict is Verdict.WRONG
    assert "dayfly cloud up" in found["base stack"].mend


def test_the_doctor_proves_by_writing_that_the_bucket_can_be_written(
    aws: Aws, emulator: Emulator, tmp_path: Path
) -> None:
    """FAULTS 27: S3 denied."""
    base = base_stack(aws, PROJECT)
    emulator.fault("s3:PutObject", kind="deny", times=1)
    assert checkup(aws, tmp_path)["bucket"].verdict is Verdict.WRONG
    assert checkup(aws, tmp_path)["bucket"].verdict is Verdict.OK
    assert aws.s3.get_object(Bucket=base.bucket, Key=PROBE)["Body"].read()


def test_the_doctor_names_a_quota_that_is_too_low_and_where_to_ask(
    aws: Aws, emulator: Emulator, tmp_path: Path
) -> None:
    base_stack(aws, PROJECT)
    emulator.quota("L-1216C47A", 1)
    found = checkup(aws, tmp_path)["quota"]
    assert found.verdict is Verdict.WRONG
    assert "https://console.aws.amazon.com/" in found.mend


def test_the_doctor_misses_what_was_deleted_by_hand(aws: Aws, tmp_path: Path) -> None:
    base = base_stack(aws, PROJECT)
    aws.scheduler.delete_schedule_group(Name=base.schedule_group)
    aws.ec2.delete_launch_template(LaunchTemplateId=base.launch_template)
    found = checkup(aws, tmp_path)
    assert found["deadlines"].verdict is Verdict.WRONG
    assert found["launch templates"].verdict is Verdict.WRONG


@pytest.mark.fault(36)
def test_the_doctor_names_a_stuck_stack_its_resource_and_the_mend(aws: Aws, tmp_path: Path) -> None:
    """FAULTS 36: DELETE_FAILED."""
    base = base_stack(aws, PROJECT)
    stack_id = machine_stack(aws, base)
    denied = {"Effect": "Deny", "Action": "ec2:DeleteSecurityGroup", "Resource": "*"}
    aws.iam.put_role_policy(
        RoleName=base.cloudformation_role_arn.rpartition("/")[2],
        PolicyName="deny",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [denied]}),
    )
    before = last_event_id(aws, stack_id)
    delete_stack(aws, stack_id)
    with pytest.raises(AwsError):
        wait_for_stack(aws, stack_id, until=DELETED, within_s=60, after=before)
    found = checkup(aws, tmp_path)["stuck stack"]
    assert found.verdict is Verdict.WRONG
    assert "(AWS::EC2::SecurityGroup)" in found.found
    assert "FORCE_DELETE_STACK" in found.mend


# ---- the user


def test_an_iam_user_may_submit_with_the_key_and_not_set_up_and_is_made_once(aws: Aws) -> None:
    account = load_identity(aws).account
    document = json.dumps(user_policy(PROJECT, account, aws.region))
    for _ in range(2):  # the second time the policy is brought up to date
        ensure_user(aws, project=PROJECT, name="ada", policy_name="dayfly-user", document=document)
    assert len(aws.iam.list_attached_user_policies(UserName="ada")["AttachedPolicies"]) == 1
    key = create_key(aws, "ada")
    assert key.secret not in repr(key)
    create_key(aws, "ada")
    with pytest.raises(AwsError, match="two access keys"):
        create_key(aws, "ada")


def test_an_iam_user_of_somebody_else_gets_nothing(aws: Aws) -> None:
    aws.iam.create_user(UserName="bob")
    with pytest.raises(AwsError, match="not this project's"):
        ensure_user(aws, project=PROJECT, name="bob", policy_name="p", document="{}")
    assert aws.iam.list_attached_user_policies(UserName="bob")["AttachedPolicies"] == []

"""The base stack's plan is a value: what would be made, why, who may do what, and what it costs idle."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from dayfly.aws.base_parameters import BaseOptions, check_options, read_public_key
from dayfly.aws.base_plan import PlannedResource, plan_resources
from dayfly.aws.extras import Extras
from dayfly.aws.template import Scope, load_template
from dayfly.errors import UsageError

TEMPLATE = load_template("base")
VALUES = {
    **TEMPLATE.defaults(),
    "Project": "demo",
    "BucketName": "dayfly-demo-123456789012-eu-central-1",
    "VpcId": "vpc-0a",
    "SubnetIds": "subnet-0a,subnet-0b",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "dayfly-demo",
}
ALL = {
    "Batch": "true",
    "Network": "create",
    "Zones": "3",
    "CreateMirror": "true",
    "SshPublicKey": "ssh-ed25519 AAAA",
    "ElasticIp": "true",
    "NotebookPolicyArns": "arn:aws:iam::123456789012:policy/data,arn:aws:iam::123456789012:policy/more",
    "NotifyTopicArn": "arn:aws:sns:eu-central-1:123456789012:ends",
}


def planned(values: Mapping[str, str] = VALUES, extras: Extras | None = None) -> dict[str, PlannedResource]:
    scope = Scope(template=TEMPLATE, values={**VALUES, **values})
    return {one.logical_id: one for one in plan_resources(scope, extras or Extras())}


def test_with_everything_asked_for_every_resource_of_the_template_is_planned() -> None:
    assert set(planned(ALL)) == set(TEMPLATE.document["Resources"])


def test_every_resource_has_a_why_and_a_kind_in_words() -> None:
    for one in planned(ALL).values():
        assert one.why, one.logical_id
        assert "::" not in one.kind
        assert one.kind != one.type.removeprefix("AWS::").replace("::", " "), one.type


def test_what_was_not_asked_for_is_not_planned() -> None:
    names = set(planned())
    assert {"Bucket", "RunRole", "SchedulerRole"} <= names
    assert names.isdisjoint({"Vpc", "Mirror", "KeyPair", "Address"})
    assert "ThirdSubnet" not in planned({"Network": "create", "Zones": "2"})


def test_a_bucket_kept_from_an_earlier_life_is_not_made() -> None:
    assert "Bucket" not in planned({"CreateBucket": "false"})


def test_all_of_it_is_free_while_idle_but_the_fixed_address() -> None:
    found = planned(ALL, Extras(address_per_hour=Decimal("0.005")))
    assert found.pop("Address").monthly == Decimal("3.650")
    assert {one.monthly for one in found.values()} == {Decimal(0)}
    assert {name for name, one in found.items() if one.keeps} == {
        "Bucket",
        "Repository",
        "Mirror",
        "StackLog",
    }


def test_a_price_that_aws_does_not_tell_is_unknown() -> None:
    assert planned(ALL)["Address"].monthly is None


def test_names_are_those_that_aws_will_show() -> None:
    found = planned()
    assert found["Bucket"].name == "dayfly-demo-123456789012-eu-central-1"
    assert found["Repository"].name == "dayfly/demo"
    assert found["RunProfile"].name == found["RunRole"].name == "dayfly-demo-eu-central-1-run"


def test_permissions_are_those_of_the_template_with_names_in_place() -> None:
    scheduler = planned()["SchedulerRole"]
    (statement,) = scheduler.permissions
    assert statement.actions == ("cloudformation:DeleteStack",)
    assert statement.resources == ("arn:aws:cloudformation:eu-central-1:123456789012:stack/dayfly-demo--*/*",)
    for one in planned(ALL).values():
        for permission in one.permissions:
            assert permission.actions
            assert not [on for on in permission.resources if "<Fn" in on], (one.logical_id, permission)


def test_a_role_names_the_policies_beside_its_own() -> None:
    assert "MachinePolicy" in planned()["RunRole"].policies
    assert planned(ALL)["AccessRole"].policies[-2:] == tuple(ALL["NotebookPolicyArns"].split(","))


def test_statements_that_depend_on_a_choice_are_there_only_with_it() -> None:
    def actions(**values: str) -> set[str]:
        return {action for one in planned(values)["MachinePolicy"].permissions for action in one.actions}

    assert "sns:Publish" not in actions()
    assert "sns:Publish" in actions(NotifyTopicArn=ALL["NotifyTopicArn"])


def test_what_waits_for_what_is_read_from_the_template() -> None:
    needs = Scope(template=TEMPLATE, values={**VALUES, **ALL}).dependencies()
    assert "RunRole" in needs["RunProfile"]
    assert "Bucket" in needs["BucketPolicy"]
    assert "GatewayAttachment" in needs["RouteOut"]
    assert needs["ScheduleGroup"] == set()


@pytest.mark.parametrize(
    "options",
    [
        BaseOptions(network="vpc-1"),
        BaseOptions(permissions_boundary="boundary"),
        BaseOptions(notebook_policies="arn:aws:iam::123456789012:policy/data,other"),
        BaseOptions(notify_topic="arn:aws:sqs:eu-central-1:123456789012:queue"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_aws_is_asked(options: BaseOptions) -> None:
    with pytest.raises(UsageError, match="cannot be"):
        check_options(options)


def test_none_takes_away_what_the_base_stack_has() -> None:
    check_options(BaseOptions(permissions_boundary="none", notebook_policies="none", notify_topic="none"))


def test_of_a_private_key_the_public_one_beside_it_is_taken(tmp_path: Path) -> None:
    private = tmp_path / "id_ed25519"
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n", "utf-8")
    with pytest.raises(UsageError) as caught:
        read_public_key(private)
    assert "canary" not in str(caught.value)
    (tmp_path / "id_ed25519.pub").write_text("ssh-ed25519 AAAA ada@example.org\n", "utf-8")
    assert read_public_key(private) == "ssh-ed25519 AAAA ada@example.org"


@pytest.mark.parametrize("content", ["", "ecdsa-sha2-nistp256 AAAA", "ssh-ed25519 AAAA\nssh-rsa BBBB"])
def test_a_key_that_ec2_cannot_take_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "key.pub").write_text(content, "utf-8")
    with pytest.raises(UsageError, match="no public SSH key"):
        read_public_key(tmp_path / "key.pub")

"""The life of a machine's stack on two emulators that know nothing of each other.

They are ministack with our additions, and moto. What AWS documents decides; where one of them does otherwise,
`DIFFERS` and docs/rehearsal.md say so.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from moto.server import ThreadedMotoServer

from dayfly.aws.base import BaseStack
from dayfly.aws.boot import boot_script
from dayfly.aws.client import Aws, open_aws
from dayfly.aws.names import machine_stack_name, tag_list
from dayfly.errors import AwsError
from dayfly.rehearsal.emulator import start_emulator
from tests.cloud.conftest import CACHE, OTHERS
from tests.cloud.stacks import (
    MACHINE,
    PROJECT,
    machine_parameters,
    parameter_list,
    template,
    user_data,
    wait,
)

# By https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html (what is not given comes
# from the launch template), and CloudFormation's pages of AWS::EC2::Instance and AWS::EC2::SecurityGroup.
DIFFERS: dict[str, dict[str, str]] = {
    "ministack": {},
    "moto": {
        "metadata options": "those of the launch template are not taken",
        "shutdown behaviour": "that of the launch template is not taken",
        "security group": "is made, and not given to the instance",
        "IPv6 egress": "is left out",
        "resources": "what a condition leaves out is told, too, with no type",
    },
}
PROFILE = f"dayfly-{PROJECT}-us-east-1-run"
TEMPLATE = {
    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
    "InstanceInitiatedShutdownBehavior": "terminate",
}
TRUST = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
NAME = machine_stack_name(PROJECT, MACHINE)
TAGS = {"dayfly:project": PROJECT, "dayfly:run": MACHINE, "dayfly:owner": "somebody", "dayfly:task": "run"}


class Opinion:
    """One emulator, and what a machine's stack stands on in it."""

    def __init__(self, name: str, aws: Aws) -> None:
        self.name, self.aws = name, aws
        aws.iam.create_role(
            RoleName=PROFILE,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [TRUST]}),
        )
        aws.iam.create_instance_profile(InstanceProfileName=PROFILE)
        aws.iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)
        made = aws.ec2.create_launch_template(
            LaunchTemplateName=f"dayfly-{PROJECT}",
            LaunchTemplateData=TEMPLATE,  # type: ignore[arg-type]
        )
        vpc = aws.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        subnets = aws.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
        self.groups_before = self.groups()
        base = SimpleNamespace(
            project=PROJECT,
            launch_template=made["LaunchTemplate"]["LaunchTemplateId"],
            run_profile=PROFILE,
            vpc_id=vpc,
            subnet_ids=[subnets[0]["SubnetId"]],
            bucket=f"dayfly-{PROJECT}-123456789012-us-east-1",
        )
        self.base = cast("BaseStack", base)

    def differs(self, what: str) -> bool:
        """Whether it is known to do otherwise than AWS."""
        return what in DIFFERS[self.name]

    def create(self) -> str:
        """The machine's stack, as dayfly's template has it; its id."""
        return self.aws.cloudformation.create_stack(
            StackName=NAME,
            TemplateBody=template("machine"),
            Parameters=parameter_list(machine_parameters(self.base)),  # type: ignore[arg-type]
            OnFailure="DELETE",
            Tags=tag_list(TAGS),  # type: ignore[arg-type]
        )["StackId"]

    def stack(self, named: str) -> Mapping[str, Any]:
        (one,) = self.aws.cloudformation.describe_stacks(StackName=named)["Stacks"]
        return one

    def instances(self) -> list[Mapping[str, Any]]:
        """Those that live."""
        pages = self.aws.ec2.describe_instances()["Reservations"]
        found = [one for page in pages for one in page["Instances"]]
        return [one for one in found if one["State"]["Name"] not in {"terminated", "shutting-down"}]

    def groups(self) -> set[str]:
        return {one["GroupId"] for one in self.aws.ec2.describe_security_groups()["SecurityGroups"]}


@dataclass(frozen=True, kw_only=True)
class Emulated:
    """One emulator that runs. `reset` makes it forget everything."""

    name: str
    aws: Aws
    reset: Callable[[], object]


@contextmanager
def _moto() -> Iterator[tuple[dict[str, str], Callable[[], object]]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nobody"}
        region = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}

        def forget() -> None:
            connection = http.client.HTTPConnection(host, port, timeout=10)
            connection.request("POST", "/moto-api/reset")
            assert connection.getresponse().status == 200
            connection.close()

        yield {"AWS_ENDPOINT_URL": url, **keys, **region}, forget
    finally:
        server.stop()


@contextmanager
def _ministack(state: Path) -> Iterator[tuple[dict[str, str], Callable[[], object]]]:
    with start_emulator(state, cache=CACHE) as emulator:
        yield emulator.environ(), emulator.reset


@pytest.fixture(scope="module", params=["ministack", "moto"])
def emulated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    started = _moto() if request.param == "moto" else _ministack(tmp_path_factory.mktemp("ministack"))
    with pytest.MonkeyPatch.context() as patch, started as (environ, reset):
        for name in (*OTHERS, "AWS_CA_BUNDLE", "SSL_CERT_FILE"):
            patch.delenv(name, raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        aws = open_aws()
        yield Emulated(name=request.param, aws=aws, reset=reset)
        for client in aws._clients.values():
            client.close()


@pytest.fixture
def opinion(emulated: Emulated) -> Opinion:
    emulated.reset()
    return Opinion(emulated.name, emulated.aws)


def test_a_machines_stack_makes_what_its_template_says(opinion: Opinion) -> None:
    stack_id = opinion.create()
    wait(opinion.aws, stack_id, "stack_create_complete")
    stack = opinion.stack(NAME)
    assert (stack["StackId"], stack["StackStatus"]) == (stack_id, "CREATE_COMPLETE")
    assert {one["Key"]: one["Value"] for one in stack["Tags"]} == TAGS
    (instance,) = opinion.instances()
    assert {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]} == {
        "InstanceId": instance["InstanceId"]
    }
    assert (instance["State"]["Name"], instance["InstanceType"]) == ("running", "m7i.large")
    assert instance["IamInstanceProfile"]["Arn"].endswith(f":instance-profile/{PROFILE}")
    assert instance["SubnetId"] == opinion.base.subnet_ids[0]
    tags = {one["Key"]: one["Value"] for one in instance["Tags"]}
    assert tags.items() >= {**TAGS, "aws:cloudformation:stack-name": NAME}.items()
    script = user_data(opinion.aws, instance["InstanceId"])
    assert boot_script() in script
    assert f"DAYFLY_MACHINE_ID={MACHINE}\n" in script


def test_its_disk_and_its_group_are_as_the_template_says(opinion: Opinion) -> None:
    wait(opinion.aws, opinion.create(), "stack_create_complete")
    (instance,) = opinion.instances()
    (mapping,) = instance["BlockDeviceMappings"]
    assert mapping["Ebs"]["DeleteOnTermination"] is True
    (volume,) = opinion.aws.ec2.describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"]
    assert (volume["Encrypted"], volume["Size"], volume["VolumeType"]) == (True, 30, "gp3")
    (made,) = opinion.groups() - opinion.groups_before
    (group,) = opinion.aws.ec2.describe_security_groups(GroupIds=[made])["SecurityGroups"]
    assert group["IpPermissions"] == []
    assert [one["CidrIp"] for rule in group["IpPermissionsEgress"] for one in rule["IpRanges"]] == [
        "0.0.0.0/0"
    ]
    over_six = [one["CidrIpv6"] for rule in group["IpPermissionsEgress"] for one in rule["Ipv6Ranges"]]
    assert over_six == ([] if opinion.differs("IPv6 egress") else ["::/0"])
    given = [one["GroupId"] for one in instance["SecurityGroups"]]
    assert given == ([] if opinion.differs("security group") else [made])


def test_it_begins_as_the_launch_template_says(opinion: Opinion) -> None:
    wait(opinion.aws, opinion.create(), "stack_create_complete")
    (instance,) = opinion.instances()
    options = {name: instance["MetadataOptions"][name] for name in TEMPLATE["MetadataOptions"]}
    assert (options == TEMPLATE["MetadataOptions"]) is not opinion.differs("metadata options")
    said = opinion.aws.ec2.describe_instance_attribute(
        InstanceId=instance["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
    )
    behaviour = said["InstanceInitiatedShutdownBehavior"]["Value"]
    assert (behaviour == "terminate") is not opinion.differs("shutdown behaviour")


def test_a_name_is_taken_while_its_stack_stands(opinion: Opinion) -> None:
    wait(opinion.aws, opinion.create(), "stack_create_complete")
    with pytest.raises(AwsError) as caught:
        opinion.create()
    assert caught.value.code == "AlreadyExistsException"
    assert len(opinion.instances()) == 1


def test_a_deleted_stack_leaves_nothing_and_is_remembered_by_its_id_alone(opinion: Opinion) -> None:
    stack_id = opinion.create()
    wait(opinion.aws, stack_id, "stack_create_complete")
    opinion.aws.cloudformation.delete_stack(StackName=NAME)
    wait(opinion.aws, stack_id, "stack_delete_complete")
    assert opinion.stack(stack_id)["StackStatus"] == "DELETE_COMPLETE"
    assert opinion.instances() == []
    assert opinion.groups() == opinion.groups_before
    assert opinion.aws.ec2.describe_volumes()["Volumes"] == []
    with pytest.raises(AwsError) as caught:
        opinion.stack(NAME)
    assert caught.value.code == "ValidationError"
    # The schedule and the machine ask again, and so does who cleans up.
    opinion.aws.cloudformation.delete_stack(StackName=NAME)
    opinion.aws.cloudformation.delete_stack(StackName=stack_id)
    wait(opinion.aws, opinion.create(), "stack_create_complete")


def test_a_stack_whose_instance_has_ended_by_itself_can_be_deleted(opinion: Opinion) -> None:
    stack_id = opinion.create()
    wait(opinion.aws, stack_id, "stack_create_complete")
    (instance,) = opinion.instances()
    opinion.aws.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    assert opinion.stack(stack_id)["StackStatus"] == "CREATE_COMPLETE", "nobody tells the stack"
    opinion.aws.cloudformation.delete_stack(StackName=stack_id)
    wait(opinion.aws, stack_id, "stack_delete_complete")
    assert opinion.groups() == opinion.groups_before


def test_each_resource_is_told_with_its_state(opinion: Opinion) -> None:
    stack_id = opinion.create()
    wait(opinion.aws, stack_id, "stack_create_complete")
    told = opinion.aws.cloudformation.list_stack_resources(StackName=stack_id)["StackResourceSummaries"]
    more = {""} if opinion.differs("resources") else set()
    made = {"AWS::EC2::Instance", "AWS::EC2::SecurityGroup"}
    assert {one["ResourceType"] for one in told} == made | more
    events = opinion.aws.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    assert events[0]["ResourceStatus"] == "CREATE_COMPLETE", "the newest comes first"
    assert events[0]["ResourceType"] == "AWS::CloudFormation::Stack"

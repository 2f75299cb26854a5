"""The emulated AWS itself: each behaviour that dayfly has added to ministack, as a specification.

What AWS does was taken from its documentation (the extension's docstrings say where), never from AWS itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from botocore.config import Config

from dayfly.aws.client import Aws, open_aws
from dayfly.aws.deadline import arm_deadline
from dayfly.aws.names import machine_stack_name
from dayfly.errors import AwsError, MissingExtraError
from dayfly.rehearsal.emulator import Emulator, start_emulator
from dayfly.rehearsal.environment import emulator_python
from dayfly.runs.store import open_store
from tests.cloud.conftest import CACHE, EmulatorClock
from tests.cloud.stacks import MACHINE, base_stack, machine_stack, start_machine, user_data, wait
from tests.helpers import PATIENCE_S, wait_for

A_MINUTE = timedelta(minutes=1)


# ---- the process


def test_two_emulators_stand_side_by_side_and_leave_nothing(emulator: Emulator, tmp_path: Path) -> None:
    with start_emulator(tmp_path, cache=CACHE) as other:
        assert other.endpoint != emulator.endpoint
        process = other._process.pid
    assert not Path(f"/proc/{process}").exists()


def test_ends_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from dayfly.rehearsal.emulator import start_emulator\n"
        f"with start_emulator(Path({str(tmp_path)!r}), cache=Path({str(CACHE)!r})) as emulator:\n"
        "    print(emulator._process.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        assert select.select([descriptor], [], [], 30)[0]  # readable once it is gone
        os.close(descriptor)


def test_two_who_need_the_environment_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(emulator_python, [tmp_path, tmp_path])
    assert first == second
    assert (first.parents[1] / "complete").exists()


def test_says_so_when_it_cannot_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)  # no uv: pip it is
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(MissingExtraError, match="could not be installed") as caught:
        emulator_python(tmp_path)
    assert "ministack" in caught.value.why
    assert not list(tmp_path.glob("*/complete"))


def test_serves_a_store_over_tls_to_obstore(aws: Aws) -> None:
    aws.s3.create_bucket(Bucket="a-store")
    store = open_store("s3://a-store")
    store.put("runs/a", b"1")
    assert [entry.key for entry in store.list("")] == ["runs/a"]


def test_refuses_a_forged_signature(aws: Aws, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of roles and users: the signature of the account's root is not checked."""
    keys = emulator.credentials_of(base_stack(aws).scheduler_role_arn)
    forged = keys.environ() | {"AWS_SECRET_ACCESS_KEY": "forged"}
    for name, value in forged.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AwsError) as caught:
        open_aws().sts.get_caller_identity()
    assert caught.value.code == "SignatureDoesNotMatch"


def test_logs_each_request_with_its_caller(aws: Aws, emulator: Emulator) -> None:
    emulator.forget_requests()
    aws.ec2.describe_vpcs()
    with pytest.raises(AwsError):
        aws.s3.head_bucket(Bucket="not-there")
    first, second = emulator.requests()
    assert (first["service"], first["operation"], first["status"]) == ("ec2", "DescribeVpcs", 200)
    assert first["caller"] == f"arn:aws:iam::{emulator.account}:root"
    assert (second["service"], second["status"]) == ("s3", 404)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("deny", "UnauthorizedOperation"), ("throttle", "RequestLimitExceeded"), ("fail", "InternalError")],
)
def test_injects_a_fault_as_often_as_asked(aws: Aws, emulator: Emulator, kind: str, code: str) -> None:
    emulator.fault("ec2:DescribeVpcs", kind=kind, times=2)  # type: ignore[arg-type]
    client = aws.session.client("ec2", config=Config(retries={"total_max_attempts": 1}))
    for _ in range(2):
        with pytest.raises(AwsError) as caught:
            client.describe_vpcs()
        assert caught.value.code == code
    assert client.describe_vpcs()["Vpcs"]
    client.close()


def test_a_fault_after_the_deed_loses_only_the_answer(aws: Aws, emulator: Emulator) -> None:
    emulator.fault("s3:CreateBucket", kind="deny", after=True)
    with pytest.raises(AwsError):
        aws.s3.create_bucket(Bucket="made-anyway")
    assert [one["Name"] for one in aws.s3.list_buckets()["Buckets"]] == ["made-anyway"]


# ---- machines


def test_an_instance_has_what_template_and_properties_say(aws: Aws, emulator: Emulator) -> None:
    base = base_stack(aws)
    stack = machine_stack(aws, base, DiskGiB="50", SubnetId=base.subnet_ids[1])
    (instance,) = aws.ec2.describe_instances()["Reservations"][0]["Instances"]
    assert instance["Placement"]["AvailabilityZone"] == f"{aws.region}b"
    assert instance["IamInstanceProfile"]["Arn"].endswith(f"/{base.run_profile}")
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    tags = {one["Key"]: one["Value"] for one in instance["Tags"]}
    assert tags["dayfly:run"] == MACHINE
    assert tags["aws:cloudformation:stack-id"] == stack
    (volume,) = aws.ec2.describe_volumes()["Volumes"]
    assert (volume["Size"], volume["Encrypted"]) == (50, True)
    assert {one["Key"]: one["Value"] for one in volume["Tags"]}["dayfly:owner"] == "somebody"
    assert f"DAYFLY_MACHINE_ID={MACHINE}\n" in user_data(aws, instance["InstanceId"])
    (standing,) = emulator.instances()
    assert standing["ShutdownBehavior"] == "terminate"


def test_deleting_the_stack_ends_the_instance_and_its_disk(aws: Aws, emulator: Emulator) -> None:
    stack = machine_stack(aws, base_stack(aws))
    aws.cloudformation.delete_stack(StackName=stack)
    wait(aws, stack, "stack_delete_complete")
    assert emulator.instances() == []
    assert aws.ec2.describe_volumes()["Volumes"] == []


def test_powering_off_does_what_the_shutdown_behaviour_says(aws: Aws, emulator: Emulator) -> None:
    machine_stack(aws, base_stack(aws))
    (instance,) = emulator.instances()
    emulator.ask("POST", f"/_dayfly/instances/{instance['InstanceId']}/state", {"state": "powered-off"})
    assert emulator.instances() == []


def test_spot_comes_from_the_launch_template(aws: Aws) -> None:
    machine_stack(aws, base_stack(aws), Spot="true")
    (instance,) = aws.ec2.describe_instances()["Reservations"][0]["Instances"]
    assert instance["InstanceLifecycle"] == "spot"


def test_an_elastic_address_moves_to_the_instance(aws: Aws) -> None:
    base = base_stack(aws, ElasticIp="true")
    machine_stack(aws, base, ElasticIpAllocation=base.elastic_ip_allocation)
    (address,) = aws.ec2.describe_addresses()["Addresses"]
    (instance,) = aws.ec2.describe_instances()["Reservations"][0]["Instances"]
    assert address["InstanceId"] == instance["InstanceId"]
    assert address["PublicIp"] == instance["PublicIpAddress"]


def test_console_output_is_what_the_machine_has_written(aws: Aws, emulator: Emulator) -> None:
    machine_stack(aws, base_stack(aws))
    (instance,) = emulator.instances()
    emulator.ask("POST", f"/_dayfly/instances/{instance['InstanceId']}/console", {"text": "booted"})
    said = aws.ec2.get_console_output(InstanceId=instance["InstanceId"])
    assert said["Output"] == "booted"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (
            lambda emulator: emulator.no_capacity(zone="us-east-1a"),
            "do not have sufficient m7i.large capacity",
        ),
        (lambda emulator: emulator.quota("L-1216C47A", 1), "current vCPU limit of 1"),
    ],
    ids=["capacity", "quota"],
)
def test_a_launch_that_fails_leaves_no_stack(
    aws: Aws, emulator: Emulator, prepare: Callable[[Emulator], None], words: str
) -> None:
    base = base_stack(aws)
    prepare(emulator)
    stack = start_machine(aws, base)
    wait(aws, stack, "stack_delete_complete")
    events = aws.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    (failed,) = [one for one in events if one["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["LogicalResourceId"] == "Instance"
    assert words in failed["ResourceStatusReason"]
    assert emulator.instances() == []
    assert [one["GroupName"] for one in aws.ec2.describe_security_groups()["SecurityGroups"]] == ["default"]


def test_capacity_that_lacks_once_is_there_the_next_time(aws: Aws, emulator: Emulator) -> None:
    base = base_stack(aws)
    emulator.no_capacity(instance_type="m7i.*", times=1)
    wait(aws, start_machine(aws, base), "stack_delete_complete")
    machine_stack(aws, base, f"{MACHINE}-2")
    assert len(emulator.instances()) == 1


# ---- the deadline


def test_a_schedule_deletes_the_stack_at_its_time_and_then_itself(
    aws: Aws, emulator: Emulator, clock: EmulatorClock
) -> None:
    base = base_stack(aws)
    deadline = clock.now() + timedelta(hours=2)
    arm_deadline(
        aws, base, name=MACHINE, stack_name=machine_stack_name(base.project, MACHINE), deadline=deadline
    )
    machine_stack(aws, base)
    clock.sleep((deadline - A_MINUTE - clock.now()).total_seconds())
    assert len(emulator.instances()) == 1
    clock.sleep((2 * A_MINUTE).total_seconds())
    assert emulator.instances() == []
    (deletion,) = emulator.requests(operation="DeleteStack")
    assert deletion["caller"].split("/")[1] == base.scheduler_role_arn.rpartition("/")[2]
    clock.sleep((timedelta(hours=1)).total_seconds())
    assert len(aws.scheduler.list_schedules()["Schedules"]) == 1
    assert len(emulator.requests(operation="DeleteStack")) == 7  # every ten minutes, as armed
    clock.sleep((timedelta(hours=2)).total_seconds())
    assert aws.scheduler.list_schedules()["Schedules"] == []


def test_a_schedule_can_do_no_more_than_its_role(aws: Aws, emulator: Emulator, clock: EmulatorClock) -> None:
    base = base_stack(aws)
    arm_deadline(aws, base, name="x", stack_name="another-projects", deadline=clock.now() + A_MINUTE)
    clock.sleep(120)
    (deletion,) = emulator.requests(operation="DeleteStack")
    assert (deletion["status"], deletion["code"]) == (403, "AccessDenied")


def test_a_schedule_is_refused_that_aws_would_refuse(aws: Aws, clock: EmulatorClock) -> None:
    base = base_stack(aws)
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:cloudformation:deleteStack",
        "RoleArn": base.scheduler_role_arn,
        "Input": "{}",
    }
    wrong: list[dict[str, Any]] = [
        {"ScheduleExpression": "at(tomorrow)"},
        {"StartDate": clock.now() - timedelta(hours=1)},
        {"EndDate": clock.now() - timedelta(hours=1)},
        {"Target": target | {"RoleArn": base.cloudformation_role_arn}},  # does not trust the scheduler
        {"GroupName": "default"},  # of which its trust does not speak
    ]
    for one in wrong:
        asked: dict[str, Any] = {
            "Name": "x",
            "GroupName": base.schedule_group,
            "ScheduleExpression": "rate(10 minutes)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": target,
        }
        with pytest.raises(AwsError) as caught:
            aws.scheduler.create_schedule(**(asked | one))
        assert caught.value.code == "ValidationException", one


# ---- what EC2 and others offer


def test_types_are_real_and_prices_are_invented(aws: Aws) -> None:
    (kind,) = aws.ec2.describe_instance_types(InstanceTypes=["m7i.2xlarge"])["InstanceTypes"]
    assert (kind["VCpuInfo"]["DefaultVCpus"], kind["MemoryInfo"]["SizeInMiB"]) == (8, 32768)
    with pytest.raises(AwsError) as caught:
        aws.ec2.describe_instance_types(InstanceTypes=["m7i.pico"])  # type: ignore[list-item]
    assert caught.value.code == "InvalidInstanceType"
    product = aws.pricing.get_products(
        ServiceCode="AmazonEC2",
        Filters=[
            {"Type": "TERM_MATCH", "Field": "instanceType", "Value": "m7i.2xlarge"},
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": aws.region},
        ],
    )["PriceList"][0]
    assert "INVENTED" in product


def test_public_parameters_name_images_of_their_architecture(aws: Aws) -> None:
    name = "/aws/service/deeplearning/ami/arm64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
    image = aws.ssm.get_parameter(Name=name)["Parameter"]["Value"]
    (described,) = aws.ec2.describe_images(ImageIds=[image])["Images"]
    assert described["Architecture"] == "arm64"


def test_an_image_that_is_pushed_to_the_registry_is_in_ecr(aws: Aws, emulator: Emulator) -> None:
    aws.ecr.create_repository(repositoryName="dayfly/x")
    token = aws.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    blob = b"{}"
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    kind = "application/vnd.oci.image.manifest.v1+json"
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(blob)}
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []}

    def put(path: str, body: bytes, content_type: str, method: str = "PUT") -> Message:
        headers = {"Authorization": f"Basic {token}", "Content-Type": content_type}
        url = f"{emulator.endpoint}{path}"
        request = Request(url, body, headers, method=method)  # noqa: S310 -- our own endpoint
        context = ssl.create_default_context(cafile=str(emulator.ca_bundle))
        with urlopen(request, context=context) as answer:  # noqa: S310 -- the same
            said: Message = answer.headers
        return said

    begun = put("/v2/dayfly/x/blobs/uploads/", b"", "application/octet-stream", "POST")
    put(f"{begun['Location']}?digest={digest}", blob, "application/octet-stream")
    put("/v2/dayfly/x/manifests/key", json.dumps(manifest).encode(), kind)
    (image,) = aws.ecr.describe_images(repositoryName="dayfly/x")["imageDetails"]
    assert image["imageTags"] == ["key"]


def test_git_pushes_to_codecommit_and_pulls_with_a_roles_password(
    aws: Aws, emulator: Emulator, tmp_path: Path
) -> None:
    base = base_stack(aws, CreateMirror="true")
    repository = aws.codecommit.get_repository(repositoryName=base.mirror)["repositoryMetadata"]
    tags = aws.codecommit.list_tags_for_resource(resourceArn=repository["Arn"])["tags"]
    assert tags["dayfly:project"] == base.project

    def git(*arguments: str, environ: Mapping[str, str]) -> str:
        helper = [
            "-c",
            "credential.helper=!aws codecommit credential-helper $@",
            "-c",
            "credential.useHttpPath=1",
        ]
        person = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        ours = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0"} | dict(environ)
        done = subprocess.run(
            ["git", *helper, *person, *arguments],
            cwd=tmp_path,
            env=ours,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout if done.returncode == 0 else f"refused: {done.stderr}"

    root = emulator.environ()
    git("init", "--quiet", "--initial-branch", "main", environ=root)
    git("commit", "--quiet", "--allow-empty", "--message", "first", environ=root)
    url = repository["cloneUrlHttp"]
    machine = emulator.environ(
        emulator.credentials_of(f"arn:aws:iam::{base.account}:role/{base.run_profile}")
    )
    assert "403" in git("push", url, "main", environ=machine)
    assert "refused" not in git("push", url, "main", environ=root)
    head = git("rev-parse", "main", environ=root).strip()
    assert git("ls-remote", url, "refs/heads/main", environ=machine).split()[0] == head
    branch = aws.codecommit.get_branch(repositoryName=base.mirror, branchName="main")["branch"]
    assert branch["commitId"] == head
    assert aws.codecommit.get_commit(repositoryName=base.mirror, commitId=head)["commit"]["parents"] == []
    with pytest.raises(AwsError, match="CommitIdDoesNotExistException"):
        aws.codecommit.get_commit(repositoryName=base.mirror, commitId="0" * 40)


@pytest.mark.parametrize("forget", [Emulator.reset, Emulator.heal, Emulator.release])
def test_a_call_that_hangs_is_not_carried_out_once_those_that_hang_are_forgotten(
    aws: Aws, emulator: Emulator, forget: Callable[[Emulator], None]
) -> None:
    emulator.fault("ec2:CreateKeyPair", kind="delay", delay_s=PATIENCE_S)
    client = aws.session.client("ec2", config=Config(retries={"total_max_attempts": 1}))
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(client.create_key_pair, KeyName="late")
        wait_for(lambda: emulator.requests(service="ec2", operation="CreateKeyPair"), "the call")
        forget(emulator)
        with pytest.raises(AwsError):
            hung.result()
    assert client.describe_key_pairs()["KeyPairs"] == []
    client.close()

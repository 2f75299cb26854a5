"""No secret is where it must not be (SECURITY 12), and a user with the user's policy needs nobody else (9).

One run of somebody who may do exactly what `dayfly cloud policy user` says, on a machine that boots; all that
it leaves, and all that is in the machine, is searched for the secrets that are about.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dayfly.aws.client import Aws
from dayfly.aws.names import machine_stack_name
from dayfly.aws.policies import user_policy
from dayfly.rehearsal.emulator import Credentials
from dayfly.rehearsal.session import PROJECT, Rehearsal
from dayfly.runs.run import Run
from tests.helpers import output_of, text_of, wait_for
from tests.rehearsal.permissions_bench import (
    GONE_WITHIN_S,
    TRIES,
    WAITS,
    Inside,
    a_notebook,
    inside_of,
)
from tests.rehearsal.rehearsed import Rehearsed

# What every process of the machine is started with, from its first second to its last.
WATCH = """
import glob, time
seen = set()
while True:
    for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
        try:
            said = open(path, "rb").read()
        except OSError:
            continue
        if said not in seen:
            seen.add(said)
            print(path.split("/")[3], said, flush=True)
    time.sleep(0.05)
"""


SEARCH = "looking-for-canaries"
"""In the command lines of our own searches in the machine, which name what they look for."""


@dataclass(frozen=True, kw_only=True)
class Canaries:
    """Secrets that are about, and where one may be found."""

    environment: str
    notify: str
    registry: str
    user_key: str

    def found_in(self, text: str) -> list[str]:
        return [name for name, value in vars(self).items() if value in text]


@pytest.fixture
def ada(rehearsal: Rehearsal) -> Iterator[Credentials]:
    """Somebody with exactly the user's policy, and a key."""
    iam, base = rehearsal.aws.iam, rehearsal.base
    document = json.dumps(user_policy(base.project, base.account, base.region))
    policy = iam.create_policy(PolicyName="who-submits", PolicyDocument=document)["Policy"]["Arn"]
    iam.create_user(UserName="ada")
    iam.attach_user_policy(UserName="ada", PolicyArn=policy)
    key = iam.create_access_key(UserName="ada")["AccessKey"]
    yield Credentials(access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])
    iam.detach_user_policy(UserName="ada", PolicyArn=policy)
    iam.delete_access_key(UserName="ada", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="ada")
    iam.delete_policy(PolicyArn=policy)


@contextmanager
def watched(inside: Inside, told: Path) -> Iterator[None]:
    """Write down each command line and environment in the machine, until it is gone."""
    command = ["docker", "exec", inside.machine.container, "python3", "-c", WATCH]
    with (
        told.open("wb") as file,
        subprocess.Popen(command, env=dict(inside.docker.environ), stdout=file, stderr=file) as watching,
    ):
        try:
            yield
        finally:
            watching.kill()


def test_a_users_run_needs_no_other_rights_and_leaves_no_secret_anywhere(
    rehearsed: Rehearsed, ada: Credentials, tmp_path: Path
) -> None:
    rehearsal = rehearsed.rehearsal
    emulator = rehearsal.around.emulator
    canaries = Canaries(
        environment=f"canary-{secrets.token_hex(16)}",
        notify=f"canary-{secrets.token_hex(16)}",
        registry=rehearsal.around.password,
        user_key=ada.secret_access_key,
    )
    user = {
        **emulator.environ(ada),
        "SECRET_TOKEN": canaries.environment,
        "DAYFLY_AWS_NOTIFY": f"https://hooks.invalid/{canaries.notify}",
    }
    emulator.forget_requests()
    with a_notebook(rehearsed, "tries_and_waits", TRIES, WAITS):
        run = rehearsed.submit("tries_and_waits", "--dirty", environ=user)
    submitted_by_ada_alone(emulator.requests(), rehearsal)
    inside = inside_of(rehearsed, rehearsed.machine(run))
    told = tmp_path / "processes"
    with watched(inside, told):
        wait_for(lambda: "role" in run.log(), "the first cell", within_s=GONE_WITHIN_S)
        assert [one for one in emulator.requests() if "Denied" in str(one["code"])] == []
        assert in_the_account(rehearsal.aws, run, canaries) == []
        assert in_the_machine(inside, canaries) == []
        go_on(inside, run)
        rehearsed.gone(run, within_s=GONE_WITHIN_S)
    # Its notebook has looked for credentials, and found none: SECURITY 2.
    assert json.loads(text_of(output_of(run).cells[0])) == {"environ": [], "role": ""}
    processes = [line for line in told.read_text(errors="replace").splitlines() if SEARCH not in line]
    assert any("dayfly.keeper" in line for line in processes)
    assert [line for line in processes if canaries.found_in(line)] == []
    assert canaries.found_in(inside.machine.console) == []
    said = [
        rehearsed.cli(*words, environ=user)
        for words in (["show", run.run_id, "--json"], ["logs", run.run_id])
    ]
    assert [canaries.found_in(one.out + one.err) for one in said] == [[], []]
    rehearsed.cli("fetch", run.run_id, str(tmp_path / "fetched"), environ=user)
    assert list((tmp_path / "fetched").rglob("*.ipynb"))
    assert in_files(tmp_path / "fetched", canaries) + in_files(rehearsed.root.parent, canaries) == []
    assert in_the_bucket(rehearsal.aws, rehearsal.base.bucket, canaries) == {
        f"runs/{run.run_id}/notify": ["notify"]
    }
    assert in_the_registry(rehearsal, canaries) == []
    assert any("notification" in one for one in rehearsed.left(run).warnings), "the address leads nowhere"


def submitted_by_ada_alone(requests: list[dict[str, str]], rehearsal: Rehearsal) -> None:
    """Nobody else had a hand in it, but the machine, which may have begun."""
    callers = {one["caller"] for one in requests if one["caller"]}
    ada = f"arn:aws:iam::{rehearsal.base.account}:user/ada"
    assert {one for one in callers if f":assumed-role/{rehearsal.base.run_profile}/i-" not in one} == {ada}
    by_ada = {one["operation"] for one in requests if one["caller"] == ada}
    assert {"CreateSchedule", "CreateStack", "PutObject"} <= by_ada


def in_the_account(aws: Aws, run: Run, canaries: Canaries) -> list[str]:
    """What AWS tells of the stack, the instance and the schedule."""
    stack, cloudformation = machine_stack_name(PROJECT, run.run_id), aws.cloudformation
    group = f"dayfly-{PROJECT}"
    schedules = aws.scheduler.list_schedules(GroupName=group)["Schedules"]
    (mine,) = [one["Name"] for one in schedules if run.run_id in one["Name"]]
    (instance,) = [
        one
        for page in aws.ec2.describe_instances(Filters=[{"Name": "tag:dayfly:run", "Values": [run.run_id]}])[
            "Reservations"
        ]
        for one in page["Instances"]
    ]
    attribute = aws.ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")
    told = {
        "stack": cloudformation.describe_stacks(StackName=stack)["Stacks"],
        "template": cloudformation.get_template(StackName=stack)["TemplateBody"],
        "events": cloudformation.describe_stack_events(StackName=stack)["StackEvents"],
        "resources": cloudformation.list_stack_resources(StackName=stack)["StackResourceSummaries"],
        "schedule": aws.scheduler.get_schedule(Name=mine, GroupName=group),
        "instance": instance,
        "user data": base64.b64decode(attribute["UserData"]["Value"]).decode(),
        "tags": aws.ec2.describe_tags()["Tags"],
        "console": aws.ec2.get_console_output(InstanceId=instance["InstanceId"]).get("Output"),
    }
    assert "DAYFLY_MACHINE_ID" in str(told["user data"])
    return [f"{name}: {secret}" for name, what in told.items() for secret in canaries.found_in(str(what))]


def in_the_machine(inside: Inside, canaries: Canaries) -> list[str]:
    """Files that have a secret, but for those in memory that are there for it and root's alone."""
    meant = {
        "notify": {"/run/dayfly/notify"},
        "registry": {"/run/dayfly/password", "/run/dayfly/docker/config.json"},
    }
    assert inside.sh("stat -c %a /run/dayfly/notify /run/dayfly/password").split() == ["600", "600"]
    found = []
    places = "/run/dayfly /etc /var/lib/cloud /var/lib/dayfly /var/log /root /tmp /run/cloud-init"
    for name, value in vars(canaries).items():
        # docker keeps `user:password` in base64.
        patterns = f"-e {SEARCH} -e {value} -e $(printf 'AWS:%s' {value} | base64 -w0)"
        listed = inside.sh(f"grep -rslF {patterns} {places}; true").split()
        found += [f"{name}: {file}" for file in listed if file not in meant.get(name, set())]
    return found


def in_the_bucket(aws: Aws, bucket: str, canaries: Canaries) -> dict[str, list[str]]:
    """Each object that has a secret, by its key."""
    found: dict[str, list[str]] = {}
    names = set()
    for page in aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for one in page.get("Contents", []):
            content = aws.s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
            names.add(one["Key"].rpartition("/")[2])
            if secrets_in := canaries.found_in(content.decode(errors="replace")):
                found[one["Key"]] = secrets_in
    assert {"request.json", "output.ipynb", "result.json", "receipt.json", "machine.json"} <= names
    return found


def in_files(folder: Path, canaries: Canaries) -> list[str]:
    """Files on the user's computer."""
    files = [one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()]
    return [str(one) for one in files if canaries.found_in(one.read_text(errors="replace"))]


def in_the_registry(rehearsal: Rehearsal, canaries: Canaries) -> list[str]:
    """Manifests and configurations of images, which are plain text."""
    patterns = " ".join(f"-e {value}" for value in vars(canaries).values())
    search = f"grep -rslF {patterns} /var/lib/images; true"
    return rehearsal.around.docker.run(["exec", rehearsal.around.container, "sh", "-c", search]).split()


def go_on(inside: Inside, run: Run) -> None:
    """Make the file that the notebook waits for."""
    inside.sh(f"docker exec dayfly-{run.run_id} touch /dayfly/project/go")

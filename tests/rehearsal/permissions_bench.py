"""What the tests of credentials share: idle instances, calls from inside them, notebooks that try."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import nbformat

from dayfly.environment.docker import Docker
from dayfly.rehearsal.instances import Machine
from dayfly.rehearsal.session import Rehearsal
from tests.cloud.stacks import wait
from tests.helpers import wait_for
from tests.rehearsal.rehearsed import SETTINGS, Rehearsed

BOOTED_WITHIN_S = 180.0
GONE_WITHIN_S = 300.0
"""For a machine whose host has other things to do."""
PYTHON = "/opt/aws/bin/python"
"""In an instance: it has the AWS command line's botocore, which finds the role's credentials as on EC2."""
CALLER = """
import json, sys
from awscli.botocore.config import Config
from awscli.botocore.session import Session
session, clients, said = Session(), {}, []
config = Config(retries={"total_max_attempts": 1})
for service, method, parameters in json.load(sys.stdin):
    if service not in clients:
        clients[service] = session.create_client(service, config=config)
    try:
        getattr(clients[service], method)(**parameters)
        said.append("ok")
    except Exception as error:
        if not hasattr(error, "response"):
            raise
        said.append(error.response["Error"]["Code"])
print(json.dumps(said))
"""
TRIES = """\
import json, os, urllib.request

def ask(method, path, **headers):
    named = {"X-aws-ec2-metadata-token" + name: value for name, value in headers.items()}
    request = urllib.request.Request("http://169.254.169.254" + path, method=method, headers=named)
    with urllib.request.urlopen(request, timeout=3) as answer:
        return answer.read().decode()

try:
    token = ask("PUT", "/latest/api/token", **{"-ttl-seconds": "60"})
    role = ask("GET", "/latest/meta-data/iam/security-credentials/", **{"": token})
except OSError as error:
    role = ""
found = sorted(name for name in os.environ if name.startswith("AWS_"))
print(json.dumps({"environ": found, "role": role}))
"""
"""A cell that looks for credentials, and says which role it has got."""
WAITS = """\
import pathlib, time

while not pathlib.Path("go").exists():
    time.sleep(0.1)
"""
_KINDS = ("Run", "Access")
TWO_INSTANCES: dict[str, Any] = {
    "Resources": {
        kind: {
            "Type": "AWS::EC2::Instance",
            "Properties": {
                "LaunchTemplate": {
                    "LaunchTemplateId": {"Ref": f"{kind}Template"},
                    "Version": {"Ref": f"{kind}Version"},
                },
                "ImageId": "ami-0123456789abcdef0",
                "InstanceType": "m7i.large",
                "IamInstanceProfile": {"Ref": f"{kind}Profile"},
                "SubnetId": {"Ref": "Subnet"},
                "UserData": {"Fn::Base64": "#!/bin/sh\nsystemctl start docker\n"},
            },
        }
        for kind in _KINDS
    },
    "Parameters": {
        "Subnet": {"Type": "String"},
        **{
            f"{kind}{part}": {"Type": "String"}
            for kind in _KINDS
            for part in ("Template", "Version", "Profile")
        },
    },
    "Outputs": {kind: {"Value": {"Ref": kind}} for kind in _KINDS},
}
Calls = list[tuple[str, str, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Inside:
    """A booted instance, and commands in it."""

    docker: Docker
    machine: Machine

    @property
    def instance_id(self) -> str:
        return self.machine.instance_id

    def sh(self, script: str, *, code: int | None = 0) -> str:
        """A shell in it, as root; what it says on standard output."""
        command = ["exec", self.machine.container, "bash", "-c", script]
        done = self.docker.try_run(command, timeout_s=120)
        assert code is None or done.returncode == code, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def calls(self, calls: Calls) -> list[str]:
        """Each call of AWS's API (service, method, parameters) with its role: `ok` or the error's code."""
        said = self.sh(f"{PYTHON} -c '{CALLER}' <<'EOF'\n{json.dumps(calls)}\nEOF\n")
        answers: list[str] = json.loads(said)
        return answers


def inside_of(rehearsed: Rehearsed, machine: Machine) -> Inside:
    """The instance of a run."""
    return Inside(docker=rehearsed.rehearsal.around.docker, machine=machine)


@contextmanager
def two_instances(rehearsal: Rehearsal) -> Iterator[dict[str, Inside]]:
    """Two that do nothing: `Run` with the role and hop limit of runs, `Access` of those with access."""
    base, name = rehearsal.base, "standing"
    values = {
        "RunTemplate": base.launch_template,
        "RunVersion": base.launch_template_version,
        "RunProfile": base.run_profile,
        "AccessTemplate": base.access_launch_template,
        "AccessVersion": base.access_launch_template_version,
        "AccessProfile": base.access_profile,
        "Subnet": base.subnet_ids[0],
    }
    cloudformation = rehearsal.aws.cloudformation
    stack_id = cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(TWO_INSTANCES),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
    )["StackId"]
    try:
        wait(rehearsal.aws, stack_id, "stack_create_complete")
        outputs = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
        found = {}
        for output in outputs:
            look = partial(_booted, rehearsal, output["OutputValue"])
            machine = wait_for(look, f"the boot of {output['OutputKey']}", within_s=BOOTED_WITHIN_S)
            assert machine is not None
            found[output["OutputKey"]] = Inside(docker=rehearsal.around.docker, machine=machine)
        yield found
    finally:
        cloudformation.delete_stack(StackName=name)
        wait(rehearsal.aws, stack_id, "stack_delete_complete")


def _booted(rehearsal: Rehearsal, instance_id: str) -> Machine | None:
    """The instance, once cloud-init is through with it."""
    machine = rehearsal.instances.of(instance_id)
    if machine is None or not machine.address:
        return None
    finished = ["test", "-e", "/var/lib/cloud/instance/boot-finished"]
    done = rehearsal.around.docker.try_run(["exec", machine.container, *finished])
    return machine if done.returncode == 0 else None


@contextmanager
def with_aws(rehearsed: Rehearsed, **settings: str | bool) -> Iterator[None]:
    """More settings below [aws] in dayfly.toml, uncommitted."""
    file = rehearsed.root / "dayfly.toml"
    file.write_text(SETTINGS + "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    try:
        yield
    finally:
        file.write_text(SETTINGS)


@contextmanager
def a_notebook(rehearsed: Rehearsed, name: str, *cells: str) -> Iterator[None]:
    """A notebook in the user's project, uncommitted."""
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    file = rehearsed.root / f"{name}.ipynb"
    file.write_text(nbformat.writes(made))
    try:
        yield
    finally:
        file.unlink()

"""What the tests of builds, labs and the ways into a machine share: images, a key, projects of their own."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from dayfly.aws.tasks import TaskPlace
from dayfly.environment.docker import Docker
from dayfly.environment.image import Image
from dayfly.rehearsal.instances import Machine
from dayfly.rehearsal.push import push_as
from dayfly.rehearsal.session import Rehearsal
from dayfly.rehearsal.surroundings import REGISTRY
from dayfly.rehearsal.verdict import find_left_over
from tests.engine.bench import one_at_a_time
from tests.engine.images import build
from tests.helpers import wait_for
from tests.rehearsal.rehearsed import PATIENCE_S, Rehearsed

HERE = "127.0.0.1"
"""Whom port 22 is opened to; in a rehearsal nothing holds anybody else back."""
# A machine of a rehearsal may have no way to a package index: what dayfly's layer needs is in the image.
WHEELS = """\
FROM {kernel}
COPY layer.lock /opt/wheels/
WORKDIR /opt/wheels
RUN /opt/venv/bin/pip download --no-deps --require-hashes --requirement layer.lock
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/opt/wheels
"""
JUPYTERLAB = """\
FROM {wheels}
RUN env --unset=PIP_NO_INDEX --unset=PIP_FIND_LINKS /opt/venv/bin/pip install --no-cache-dir jupyterlab
"""


def make_wheels_image(docker: Docker, kernel: str) -> str:
    """The image with a kernel, in which dayfly's layer can be made without a package index; its tag."""
    lock = resources.files("dayfly.environment").joinpath("layer.lock").read_bytes()
    with one_at_a_time("images"):
        return build(docker, "dayfly-test/wheels", WHEELS.format(kernel=kernel), {"layer.lock": lock})


def make_lab_image(docker: Docker, wheels: str) -> str:
    """The same with JupyterLab; its tag."""
    with one_at_a_time("images"):
        return build(docker, "dayfly-test/jupyterlab", JUPYTERLAB.format(wheels=wheels))


def push_base(rehearsal: Rehearsal, tag: str, name: str) -> str:
    """Bring an image of this engine into the project's repository under a tag; its name for a Dockerfile."""
    image = Image(
        tag=tag, id="", key="", platform="", size_bytes=0, created=datetime.now(UTC), project="a base"
    )
    repository = rehearsal.base.repository_uri.partition("/")[2]
    push_as(rehearsal.around, image, f"{repository}:{name}")
    return f"{REGISTRY}/{repository}:{name}"


def make_key(folder: Path) -> Path:
    """A new SSH key without a passphrase: the private one, with the public one beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "id_ed25519"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@example.org", "-f", str(key)]
    subprocess.run(command, check=True, timeout=30)
    return key


def machine_of(rehearsed: Rehearsed, place: TaskPlace) -> Machine:
    """The machine of a build or lab, when it has been switched on."""
    task_id = place.prefix.partition("/")[2]

    def look() -> Machine | None:
        machines = list(rehearsed.rehearsal.instances.machines.values())
        return next((one for one in machines if one.run_id == task_id and one.address), None)

    machine = wait_for(look, f"the machine of {task_id}", within_s=PATIENCE_S)
    assert machine is not None
    return machine


def wait_until_gone(rehearsed: Rehearsed, machine: Machine) -> None:
    """Until it is gone by itself, and its stack and schedule with it."""
    wait_for(lambda: machine.gone is not None, "the machine's end", within_s=PATIENCE_S)
    assert machine.ended in {"terminated", "powered off"}
    wait_for(lambda: not find_left_over(rehearsed.rehearsal), "the end of its stack", within_s=PATIENCE_S)


def ingress(rehearsal: Rehearsal, machine: Machine) -> list[tuple[int, int, str]]:
    """What the instance's security groups let in: first port, last port, from where."""
    described = rehearsal.aws.ec2.describe_instances(InstanceIds=[machine.instance_id])
    groups = described["Reservations"][0]["Instances"][0]["SecurityGroups"]
    found = rehearsal.aws.ec2.describe_security_groups(GroupIds=[one["GroupId"] for one in groups])
    return [
        (rule["FromPort"], rule["ToPort"], source["CidrIp"])
        for group in found["SecurityGroups"]
        for rule in group["IpPermissions"]
        for source in rule["IpRanges"]
    ]

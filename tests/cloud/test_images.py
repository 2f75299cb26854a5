"""Images in the project's repository, builds and labs on machines, against the emulated AWS.

The emulator proves the calls, their order and permissions, and that nothing outlives its deadline; its
registry takes a push by HTTP with the token that dayfly hands to docker. No machine works here: the tests
write to the bucket what `build.sh` and `lab.sh` would. Those, docker's own push and a real session are for
the rehearsal.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import ssl
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.client import Aws
from dayfly.aws.ecr import find_repository_image
from dayfly.aws.image_records import find_image_record, load_image_record, put_image_record
from dayfly.aws.publish import find_published, publish_image
from dayfly.environment.plan import ImagePlan, plan_image
from dayfly.project.settings import ImageSettings
from dayfly.rehearsal.emulator import Emulator
from tests.cloud.stacks import base_stack
from tests.cloud.submissions import COMMAND_S, CloudProject, make_project, names
from tests.cloud.test_submission import HALF_A_DAY_S, machine_stacks, schedules
from tests.helpers import PROGRAMS, wait_for
from tests.unit.aws.lab_fakes import Asked, serve_lab
from tests.unit.aws.test_ecr import image_of
from tests.unit.aws.test_image_records import FACTS
from tests.unit.aws.test_tunnel import FORWARDS, program
from tests.unit.environment.fakes import FakeDocker

BUILD = ("image", "build", "--on", "ec2")
DIGEST = "sha256:" + "ab" * 32
TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 -- of a lab of paper
Count = Callable[[], AbstractContextManager[list[dict[str, Any]]]]


@pytest.fixture
def project(tmp_path: Path, aws: Aws, emulator: Emulator) -> CloudProject:
    """A project whose image is in the repository."""
    return make_project(tmp_path, aws, base_stack(aws), emulator)


@pytest.fixture
def changed(project: CloudProject) -> CloudProject:
    """The same after a change of its packages: nobody has built that image yet."""
    (project.root / "requirements.txt").write_text("ipykernel\njupyterlab\n")
    return project


def planned(project: CloudProject) -> ImagePlan:
    return plan_image(project.root, ImageSettings(), platform="linux/amd64")


def parameters(stack: dict[str, Any]) -> dict[str, str]:
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}


def tell(project: CloudProject, prefix: str, *lines: dict[str, Any]) -> None:
    """What a machine would tell."""
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    project.store.put(f"{prefix}/machine/000000000000.jsonl", data)


@dataclass(frozen=True, kw_only=True)
class PushesByHttp(FakeDocker):
    """A docker that pushes an image of no layers to the emulator's registry, as the configuration allows."""

    endpoint: str
    ca: str

    def try_run(
        self, arguments: Sequence[str], *, timeout_s: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        if arguments[0] != "push":
            return subprocess.CompletedProcess([], 0, "", "")
        host, _, rest = arguments[1].partition("/")
        name, _, tag = rest.rpartition(":")
        config = json.loads(Path(self.environ["DOCKER_CONFIG"], "config.json").read_text())
        auth = config["auths"][host]["auth"]
        blob = b"{}"
        self._blob(name, auth, blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}",
                "size": len(blob),
            },
            "layers": [],
        }
        content = json.dumps(manifest).encode()
        self._ask("PUT", f"/v2/{name}/manifests/{tag}", auth, content, manifest["mediaType"])
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return subprocess.CompletedProcess([], 0, f"{tag}: digest: {digest} size: {len(content)}\n", "")

    def _blob(self, name: str, auth: str, blob: bytes) -> None:
        where = self._ask("POST", f"/v2/{name}/blobs/uploads/", auth, b"")["Location"]
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        path = where.removeprefix(self.endpoint)
        self._ask("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", auth, blob)

    def _ask(self, method: str, path: str, auth: str, body: bytes, kind: object = None) -> Any:
        asked = urllib.request.Request(f"{self.endpoint}{path}", data=body, method=method)  # noqa: S310
        asked.add_header("Authorization", f"Basic {auth}")
        asked.add_header("Content-Type", str(kind or "application/octet-stream"))
        context = ssl.create_default_context(cafile=self.ca)
        with urllib.request.urlopen(asked, context=context, timeout=30) as answer:  # noqa: S310
            return answer.headers


class TestTheRepository:
    def test_a_push_with_the_token_arrives_and_its_record_is_kept(
        self, changed: CloudProject, aws: Aws
    ) -> None:
        plan = planned(changed)
        environ = changed.environ
        docker = PushesByHttp(
            environ={"HOME": environ["HOME"]},
            endpoint=environ["AWS_ENDPOINT_URL"],
            ca=environ["AWS_CA_BUNDLE"],
        )
        done = publish_image(
            aws,
            changed.base,
            changed.store,
            docker=docker,
            plan=plan,
            image=image_of(plan),
            facts=lambda: FACTS,
        )
        assert done.pushed
        there = find_repository_image(aws, changed.base, tag=plan.key[:16])
        assert there is not None
        assert there.digest == done.record.digest
        assert find_published(aws, changed.base, changed.store, plan.key) == done.record

    def test_what_is_there_is_listed(self, project: CloudProject) -> None:
        listed = json.loads(project.cli("image", "ls", "--on", "ec2", "--json").out)
        assert [one["tags"] for one in listed] == [[planned(project).key[:16]]]
        assert planned(project).key[:16] in project.cli("image", "ls", "--on", "ec2").out


class TestABuildOnAMachine:
    def test_an_image_that_is_there_is_up_to_date_and_makes_no_machine(
        self, project: CloudProject, aws: Aws
    ) -> None:
        done = project.cli(*BUILD)
        record = load_image_record(project.store, planned(project).key)
        assert done.out.strip() == f"{project.base.repository_uri}:{record.tag}@{record.digest}"
        assert "up to date" in done.err
        assert machine_stacks(aws) == []

    def test_dry_run_says_what_it_would_cost_and_makes_nothing(self, changed: CloudProject, aws: Aws) -> None:
        said = changed.cli(*BUILD, "--dry-run").out
        assert "at most $" in said
        assert "x86_64" in said or "linux/amd64" in said
        assert (machine_stacks(aws), schedules(aws)) == ([], [])
        assert list(changed.store.list("builds")) == []

    def test_its_deadline_is_armed_before_its_stack_and_its_files_are_in_the_bucket(
        self, changed: CloudProject, aws: Aws, count_calls: Count
    ) -> None:
        with count_calls() as calls:
            build_id = changed.cli(*BUILD, "--detach", "--timeout", "30m").out.strip()
        order = names(calls)
        assert order.index("scheduler:CreateSchedule") < order.index("cloudformation:CreateStack")
        (stack,) = machine_stacks(aws)
        said = parameters(stack)
        assert (said["Task"], said["Prefix"]) == ("build", f"builds/{build_id}")
        assert said["InstanceProfile"] == changed.base.build_profile
        context = changed.store.get(f"builds/{build_id}/context.tar.gz")
        assert context is not None
        assert hashlib.sha256(context).hexdigest() == said["ContextSha256"]
        with tarfile.open(fileobj=BytesIO(context)) as archive:
            held = set(archive.getnames())
        assert {"build.sh", "plan.env", "base/context/requirements.txt"} <= held
        assert not any(name.endswith("nb.ipynb") for name in held)

    def test_nothing_of_it_is_left_when_its_deadline_has_passed(
        self, changed: CloudProject, aws: Aws, emulator: Emulator
    ) -> None:
        changed.cli(*BUILD, "--detach")
        assert machine_stacks(aws) != []
        emulator.let_pass(HALF_A_DAY_S)
        assert (machine_stacks(aws), schedules(aws)) == ([], [])

    def test_following_it_ends_with_the_images_name_and_digest(
        self, project: CloudProject, changed: CloudProject
    ) -> None:
        build_id = changed.cli(*BUILD, "--detach").out.strip()
        prefix, plan = f"builds/{build_id}", planned(changed)
        project.git("stash", "--quiet")
        old = load_image_record(changed.store, planned(changed).key)
        project.git("stash", "pop", "--quiet")
        put_image_record(
            changed.store, old.model_copy(update={"key": plan.key, "tag": plan.key[:16], "digest": DIGEST})
        )
        result = {"state": "succeeded", "digest": DIGEST}
        changed.store.put(
            f"{prefix}/log/000000000000.txt", b"Step 1/7 : FROM python\n\x1b]0;evil\x07Step 2/7\n"
        )
        changed.store.put(f"{prefix}/result.json", json.dumps(result).encode())
        tell(changed, prefix, {"type": "step", "step": "goodbye", "took_s": 1.0})
        done = changed.cli("image", "build", "--attach", build_id)
        assert done.out.strip() == f"{changed.base.repository_uri}:{plan.key[:16]}@{DIGEST}"
        assert "Step 1/7" in done.err
        assert "evil" not in done.err

    def test_a_build_that_fails_says_why_and_leaves_no_record(self, changed: CloudProject) -> None:
        build_id = changed.cli(*BUILD, "--detach").out.strip()
        result = {"state": "failed", "message": "pip found no such package", "digest": ""}
        changed.store.put(f"builds/{build_id}/result.json", json.dumps(result).encode())
        tell(changed, f"builds/{build_id}", {"type": "step", "step": "goodbye"})
        done = changed.cli("image", "build", "--attach", build_id, code=8)
        assert "no such package" in done.err
        assert find_image_record(changed.store, planned(changed).key) is None


@pytest.fixture
def jupyter() -> Iterator[tuple[int, Asked]]:
    """A server in JupyterLab's place on the machine: its port, and what it was asked."""
    with serve_lab() as served:
        yield served


@pytest.fixture
def lab(project: CloudProject, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `dayfly lab --on ec2` with a program in the AWS CLI's place that forwards as it would."""
    record = load_image_record(project.store, planned(project).key)
    put_image_record(project.store, record.model_copy(update={"packages": {"jupyterlab": "4.5"}}))
    forwards = FORWARDS.replace(
        're.findall(r"127[.]0[.]0[.]1:([0-9]+)", " ".join(sys.argv))',
        '(lambda said: (said["localPortNumber"][0], said["portNumber"][0]))('
        '__import__("json").loads(sys.argv[sys.argv.index("--parameters") + 1]))',
    )
    assert forwards != FORWARDS
    program(tmp_path / "bin", "aws", forwards)
    program(tmp_path / "bin", "session-manager-plugin", "")
    environ = {**project.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{project.environ['PATH']}"}

    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(PROGRAMS / "dayfly"), "lab", "--on", "ec2", "--no-browser", *arguments],
            cwd=project.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lab_that_begins(project: CloudProject) -> str:
    """The id of the lab, once its machine is there."""

    def look() -> str:
        keys = [entry.key for entry in project.store.list("labs")]
        return next((key.split("/")[1] for key in keys if key.endswith("machine.json")), "")

    return wait_for(look, "the lab's machine", within_s=COMMAND_S)


class TestALabOnAMachine:
    """With a program in the AWS CLI's place; a session of Systems Manager is not proven here."""

    def test_without_the_plugin_nothing_is_made(
        self, project: CloudProject, aws: Aws, tmp_path: Path
    ) -> None:
        program(tmp_path / "bin", "aws", "")
        environ = {**project.environ, "PATH": str(tmp_path / "bin")}
        done = subprocess.run(
            [str(PROGRAMS / "dayfly"), "lab", "--on", "ec2"],
            cwd=project.root,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert "no session-manager-plugin" in done.stderr
        assert machine_stacks(aws) == []

    def test_it_shows_jupyterlab_through_a_tunnel_and_leaves_the_machine_when_nobody_can_be_asked(
        self,
        project: CloudProject,
        aws: Aws,
        lab: Callable[..., subprocess.Popen[str]],
        jupyter: tuple[int, Asked],
    ) -> None:
        process = lab("--timeout", "1h", "--idle", "10m")
        lab_id = lab_that_begins(project)
        server = {"token": TOKEN, "port": jupyter[0]}
        project.store.put(f"labs/{lab_id}/server.json", json.dumps(server).encode())
        tell(project, f"labs/{lab_id}", {"type": "step", "step": "started"})
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith(f"/lab?token={TOKEN}")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "--fetch" in err
        (stack,) = machine_stacks(aws)
        said = parameters(stack)
        assert (said["Task"], said["IdleSeconds"]) == ("lab", "600")
        assert said["InstanceProfile"] == project.base.lab_profile
        assert TOKEN not in json.dumps(stack, default=str)
        assert project.store.exists(f"snapshots/{said['Commit']}.bundle")

    def test_stopping_it_saves_first_and_brings_the_files_home(
        self,
        project: CloudProject,
        lab: Callable[..., subprocess.Popen[str]],
        jupyter: tuple[int, Asked],
    ) -> None:
        process = lab()
        lab_id = lab_that_begins(project)
        server = {"token": TOKEN, "port": jupyter[0]}
        project.store.put(f"labs/{lab_id}/server.json", json.dumps(server).encode())
        project.store.put(f"labs/{lab_id}/work/nb.ipynb", b"{}")
        started = {"type": "step", "step": "started"}
        tell(project, f"labs/{lab_id}", started)
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        tell(project, f"labs/{lab_id}", started, {"type": "step", "step": "goodbye"})
        stopping = lab("--stop")
        out, err = stopping.communicate(timeout=120)
        assert stopping.returncode == 0, err
        assert jupyter[1] == [("/api/shutdown", f"token {TOKEN}")]
        (brought,) = (Path(line) for line in out.splitlines())
        assert brought.read_bytes() == b"{}"
        assert (project.root / "nb.ipynb").read_bytes() != b"{}"


def test_the_token_of_the_registry_is_for_docker(aws: Aws, project: CloudProject) -> None:
    """What AWS gives is already what a docker configuration holds: a name and a password, in base64."""
    token = aws.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    assert base64.b64decode(token).startswith(b"AWS:")
    assert project.base.repository_uri

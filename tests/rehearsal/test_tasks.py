"""The other two tasks of a machine, on machines that boot: the build of an image, and a lab."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dayfly.aws.builds import find_build
from dayfly.aws.image_records import load_image_record
from dayfly.aws.labs import find_lab
from dayfly.aws.tasks import TaskPlace
from dayfly.backends.project_image import project_image
from dayfly.environment.docker import Docker
from dayfly.environment.plan import default_name
from dayfly.project.load import load_project
from dayfly.rehearsal.push import push_to_rehearsal
from dayfly.rehearsal.session import Rehearsal
from tests.engine.projects import commit
from tests.helpers import PROGRAMS, Place, wait_for
from tests.rehearsal.rehearsed import PATIENCE_S, Rehearsed, make_user
from tests.rehearsal.tasks_bench import (
    HERE,
    ingress,
    machine_of,
    make_lab_image,
    make_wheels_image,
    push_base,
    wait_until_gone,
)

BUILDS = """\
FROM {base}
RUN echo "this is built" && touch /made-by-a-machine
"""
FAILS = """\
FROM {base}
RUN echo "about to fail" && cat /no-such-file
"""
IMAGE_ERROR = 8


@pytest.fixture(scope="package")
def wheels_image(docker: Docker, kernel_image: str) -> str:
    """A kernel, and what dayfly's layer needs."""
    return make_wheels_image(docker, kernel_image)


@pytest.fixture(scope="package")
def base_name(rehearsal: Rehearsal, wheels_image: str) -> str:
    """The same in the project's repository, where Dockerfiles can begin with it."""
    return push_base(rehearsal, wheels_image, "a-base")


@pytest.fixture(scope="package")
def lab_root(
    rehearsal: Rehearsal, docker: Docker, wheels_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A repository whose image has JupyterLab and is in the registry."""
    root = make_user(tmp_path_factory.mktemp("lab"), make_lab_image(docker, wheels_image))
    settings = load_project(root, {}).settings.image
    named = settings.model_copy(update={"name": default_name(root)})
    built, _ = project_image(docker, root, named, os.environ, echo=lambda _: None)
    push_to_rehearsal(rehearsal.around, rehearsal.base, rehearsal.store, built, os.environ)
    return root


@dataclass(kw_only=True)
class Terminal:
    """A command that believes to be in a terminal, and what it has said so far."""

    process: subprocess.Popen[bytes]
    control: int
    said: list[bytes] = field(default_factory=list)
    reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    @property
    def text(self) -> str:
        return b"".join(self.said).decode(errors="replace")

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until it says this."""

        def look() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            if ended:  # its last words are read only then
                self.reader.join(PATIENCE_S)
            found = re.search(pattern, self.text)
            assert found or not ended, self.text
            return found

        found = wait_for(look, f"{pattern!r} in {self.text[-2000:]}", within_s=2 * PATIENCE_S)
        assert found is not None
        return found

    def answer(self, text: str) -> None:
        """Type a line."""
        os.write(self.control, text.encode() + b"\n")

    def read(self) -> None:
        """Until it ends."""
        with contextlib.suppress(OSError):  # how a terminal without a process ends
            while data := os.read(self.control, 65536):
                self.said.append(data)


@contextlib.contextmanager
def in_terminal(rehearsed: Rehearsed, *arguments: str) -> Iterator[Terminal]:
    """`dayfly ...` in a terminal of its own, for as long as the block lasts."""
    control, side = pty.openpty()
    with subprocess.Popen(
        [str(PROGRAMS / "dayfly"), *arguments],
        cwd=rehearsed.root,
        env={**rehearsed.variables, "TERM": "xterm"},
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
    ) as process:
        os.close(side)
        terminal = Terminal(process=process, control=control)
        try:
            yield terminal
        finally:
            process.kill()
            process.wait()
            terminal.reader.join()
            os.close(control)


def newest(rehearsed: Rehearsed, folder: str) -> str:
    """The id of the newest build or lab."""
    return max(entry.key.split("/")[1] for entry in rehearsed.rehearsal.store.list(folder))


def build_project(rehearsed: Rehearsed, folder: Path, dockerfile: str) -> Rehearsed:
    """The same user with a project of this Dockerfile, committed."""
    root = make_user(folder, "scratch")
    (root / "Dockerfile").write_text(dockerfile)
    commit(
        Place(root=root, environ=rehearsed.variables, store=rehearsed.rehearsal.store), "Another Dockerfile"
    )
    return replace(rehearsed, root=root)


def test_an_image_is_built_on_a_machine_and_runs_use_it(
    rehearsed: Rehearsed, base_name: str, tmp_path: Path
) -> None:
    """The build is seen while it lasts; what it made is in ECR, in the bucket, and in the next run."""
    user, rehearsal = build_project(rehearsed, tmp_path, BUILDS.format(base=base_name)), rehearsed.rehearsal
    with in_terminal(user, "image", "build", "--on", "ec2", "--yes") as terminal:
        terminal.says(r"#\d+ [\d.]+ this is built")
        build_id = newest(user, "builds")
        request, place = find_build(rehearsal.store, build_id)
        assert place.result() is None, "the log comes while the machine builds"
        machine = machine_of(user, place)
        name = terminal.says(r"(?m)^(\S+)@(sha256:[0-9a-f]{64})\s*$")
        assert terminal.process.wait(PATIENCE_S) == 0
    assert name[1] == f"{rehearsal.base.repository_uri}:{request.tag}"

    repository = rehearsal.base.repository_uri.partition("/")[2]
    known = rehearsal.aws.ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": request.tag}])
    assert known["imageDetails"][0]["imageDigest"] == name[2]
    record = load_image_record(rehearsal.store, request.key)
    assert record.digest == name[2]
    assert "python3" in record.kernels
    assert request.tag in user.cli("image", "ls", "--on", "ec2").out
    assert "up to date" in user.cli("image", "build", "--on", "ec2", "--yes").err
    wait_until_gone(user, machine)

    run = user.submit("hello")
    machine = user.machine(run)
    user.gone(run)
    assert user.left(run).state == "succeeded"
    assert name[2] in user.cli("show", run.run_id, "--json").out


def test_a_failing_dockerfile_is_told_in_docker_s_words(
    rehearsed: Rehearsed, base_name: str, tmp_path: Path
) -> None:
    user = build_project(rehearsed, tmp_path, FAILS.format(base=base_name))
    done = user.cli("image", "build", "--on", "ec2", "--yes", code=IMAGE_ERROR)
    assert "about to fail" in done.err
    shown, _, error = done.err.partition("error: ")
    assert "cat: /no-such-file: No such file or directory" in shown, "all that Docker has said"
    assert "build.sh" in error
    assert "did not complete successfully" in error or "executor failed" in error, error
    assert "buildx' is not a docker command" not in done.err
    assert done.out == ""
    build_id = newest(user, "builds")
    request, place = find_build(user.rehearsal.store, build_id)
    wait_until_gone(user, machine_of(user, place))
    assert user.rehearsal.store.get(f"images/{request.key}.json") is None


def _get(url: str, path: str, token: str = "", *, put: object = None) -> tuple[int, bytes]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
    headers = {"Authorization": f"token {token}"} if token else {}
    with contextlib.closing(connection):
        connection.request("GET" if put is None else "PUT", path, json.dumps(put) if put else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_a_lab_is_worked_in_through_ssh_and_what_was_made_comes_home(
    rehearsed: Rehearsed, lab_root: Path, key: Path
) -> None:
    user = replace(rehearsed, root=lab_root)
    arguments = ("lab", "--on", "ec2", "--yes", "--ssh", HERE, "--identity", str(key), "--no-browser")
    with in_terminal(user, *arguments) as terminal:
        url = terminal.says(r"http://127\.0\.0\.1:\d+/\S+token=[0-9a-f]{48}")[0]
        lab_id = newest(user, "labs")
        request, place = find_lab(user.rehearsal.store, lab_id)
        _is_private(user, place, url)
        token = parse_qs(urlsplit(url).query)["token"][0]
        assert token.encode() not in _all_told(place)
        made = {"type": "file", "format": "text", "content": "made in the lab\n"}
        assert _get(url, "/api/contents/made.txt", token, put=made)[0] == 201
        listed = json.loads(_get(url, "/api/contents", token)[1])["content"]
        assert {"hello.ipynb", "made.txt"} <= {one["name"] for one in listed}

        terminal.process.send_signal(signal.SIGINT)
        terminal.says("End the machine now")
        terminal.answer("y")
        assert terminal.process.wait(PATIENCE_S) == 0, terminal.text
    (home,) = user.root.glob("dayfly-lab-*")
    assert [path.name for path in home.rglob("*") if path.is_file()] == ["made.txt"]
    assert (home / "made.txt").read_text() == "made in the lab\n"
    wait_until_gone(user, machine_of(user, place))
    result = place.result()
    assert result is not None
    assert result.state == "succeeded"
    again = user.cli("lab", "--on", "ec2", "--fetch", lab_id)
    assert again.out.strip().endswith("-2/made.txt")
    assert request.commit in str(user.rehearsal.store.get(f"labs/{lab_id}/request.json"))


def _is_private(user: Rehearsed, place: TaskPlace, url: str) -> None:
    """Whoever has no token gets nothing, and JupyterLab's port is the machine's own."""
    token = parse_qs(urlsplit(url).query)["token"][0]
    assert _get(url, "/api/contents")[0] == 403
    assert _get(url, "/api/contents", "wrong")[0] == 403
    assert _get(url, "/api/contents", token)[0] == 200
    machine = machine_of(user, place)
    assert ingress(user.rehearsal, machine) == [(22, 22, f"{HERE}/32")]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((machine.address, 8888), timeout=5)


def _all_told(place: TaskPlace) -> bytes:
    """What the machine has written of itself and of its task."""
    keys = [entry.key for name in ("machine", "log") for entry in place.store.list(place.key(name))]
    return b"".join(place.store.get(key) or b"" for key in keys)

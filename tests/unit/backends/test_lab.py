"""JupyterLab in a container: as whom, how it is started, and what is said when it does not come."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dayfly.backends.lab import (
    LabPlan,
    choose_port,
    lab_command,
    lab_name,
    lab_url,
    start_lab,
    wait_until_ready,
)
from dayfly.backends.lab_local import start_local_lab
from dayfly.backends.lab_user import LabUser, choose_user
from dayfly.environment.docker import Docker
from dayfly.environment.facts import ImageFacts, ImagePython, ImageUser
from dayfly.errors import DayflyError, ImageError, KernelMissingError, UsageError
from dayfly.project.settings import Settings
from dayfly.runs.request import PythonEnvironment

NOTEBOOK = ImageUser(name="notebook", uid=1000, gid=1000, home="/home/notebook")
ROOT = ImageUser(name="root", uid=0, gid=0, home="/root")


def _plan(root: Path, settings: Settings | None = None, user: LabUser | None = None) -> LabPlan:
    return LabPlan(
        root=root,
        image="dayfly/demo:1",
        facts=ImageFacts(
            user=NOTEBOOK,
            python=ImagePython(executable="/opt/venv/bin/python", prefix="/opt/venv", version="3.12.1"),
            kernels={},
            packages={"jupyterlab": "4.4.0"},
        ),
        settings=settings or Settings(),
        port=9000,
        user=user or LabUser(uid=1001, gid=1001, home=None),
    )


def test_a_user_works_as_themselves(tmp_path: Path) -> None:
    assert choose_user(tmp_path, NOTEBOOK, uid=1001, gid=100) == LabUser(uid=1001, gid=100, home=None)


def test_a_user_whom_the_image_knows_has_its_home(tmp_path: Path) -> None:
    assert choose_user(tmp_path, NOTEBOOK, uid=1000, gid=1000).home == "/home/notebook"


def test_with_a_rootless_engine_root_inside_is_the_user_outside(tmp_path: Path) -> None:
    chosen = choose_user(tmp_path, NOTEBOOK, uid=1001, gid=100, rootless=True)
    assert (chosen.uid, chosen.gid, chosen.warning) == (0, 0, "")


def _belongs(uid: int, gid: int, mode: int) -> Callable[[Path], os.stat_result]:
    """A folder that belongs to somebody, whoever runs the test."""
    return lambda _: os.stat_result((mode, 0, 0, 0, uid, gid, 0, 0, 0, 0))


def test_root_works_as_the_owner_of_the_project(tmp_path: Path) -> None:
    chosen = choose_user(tmp_path, NOTEBOOK, uid=0, gid=0, stat_of=_belongs(1234, 1235, 0o40755))
    assert chosen == LabUser(uid=1234, gid=1235, home=None)


@pytest.mark.parametrize("image_user", [NOTEBOOK, ROOT])
def test_root_is_replaced_where_others_can_write(tmp_path: Path, image_user: ImageUser) -> None:
    chosen = choose_user(tmp_path, image_user, uid=0, gid=0, stat_of=_belongs(0, 0, 0o40777))
    assert (chosen.uid, chosen.gid, chosen.warning) == (1000, 1000, "")


def test_root_stays_where_nobody_else_can_write_and_it_is_said(tmp_path: Path) -> None:
    chosen = choose_user(tmp_path, NOTEBOOK, uid=0, gid=0, stat_of=_belongs(0, 0, 0o40755))
    assert (chosen.uid, chosen.home) == (0, None)
    assert "runs as root" in chosen.warning


def test_the_container_has_the_project_and_no_rights(tmp_path: Path) -> None:
    command = lab_command(_plan(tmp_path))
    line = " ".join(command)
    assert "--cap-drop ALL --security-opt no-new-privileges" in line
    assert "--publish 127.0.0.1:9000:8888" in line
    assert "--user 1001:1001 --env HOME=/dayfly/home --tmpfs /dayfly/home:rw,exec,mode=1777" in line
    assert [part for part in command if part.startswith("type=bind")] == [
        f"type=bind,source={tmp_path},target=/dayfly/project"
    ]
    assert "--allow-root" not in command
    assert "--privileged" not in command


def test_the_container_has_the_limits_of_the_project(tmp_path: Path) -> None:
    settings = Settings(cpus=2, memory=1 << 30, gpus="all")
    line = " ".join(lab_command(_plan(tmp_path, settings)))
    assert "--cpus 2 --memory 1073741824 --memory-swap 1073741824 --gpus all" in line


def test_each_project_has_a_container_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert lab_name(tmp_path) == lab_name(tmp_path / "link")
    assert lab_name(tmp_path) != lab_name(tmp_path.parent)


def test_an_image_without_jupyterlab_is_told_before_anything_is_started(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    bare = replace(plan, facts=replace(plan.facts, packages={"ipykernel": "6"}))
    with pytest.raises(ImageError, match="There is no JupyterLab") as caught:
        start_lab(Docker(environ={}, program="/no/such/docker"), bare)
    assert "requirements.txt" in caught.value.hint


def test_a_python_without_jupyterlab_is_told_with_the_mend(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'jupyterlab'\" >&2\nexit 1\n")
    python.chmod(0o755)
    environment = PythonEnvironment(executable=str(python), prefix=str(tmp_path), source=".venv")
    with pytest.raises(KernelMissingError, match="There is no JupyterLab") as caught:
        start_local_lab(environment, tmp_path, {}, port=1, log=tmp_path / "log")
    assert f"{python} -m pip install jupyterlab" in caught.value.hint


def test_a_port_that_is_taken_is_told_when_it_was_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="cannot have"):
        choose_port(taken.getsockname()[1])


def test_any_port_will_do_when_none_was_asked_for() -> None:
    assert choose_port(None) > 0


def test_the_address_has_the_token() -> None:
    assert lab_url(8888, "secret") == "http://127.0.0.1:8888/lab?token=secret"


@dataclass
class _FakeLab:
    living: bool = True
    port: int = 1
    url: str = "http://127.0.0.1:1/lab"

    def runs(self) -> bool:
        return self.living

    def wait(self) -> None:
        """Has ended."""

    def stop(self) -> None:
        """Has ended."""

    def last_words(self) -> str:
        return "no module named tornado"


def test_a_lab_is_ready_when_it_answers() -> None:
    answers = iter([False, False, True])
    pauses: list[float] = []
    wait_until_ready(_FakeLab(), answers=lambda _: next(answers), pause=pauses.append)
    assert len(pauses) == 2


@pytest.mark.parametrize(("living", "says"), [(False, "ended before"), (True, "did not answer within")])
def test_a_lab_that_does_not_come_is_told_with_its_last_words(living: bool, says: str) -> None:
    with pytest.raises(DayflyError, match=says) as caught:
        wait_until_ready(_FakeLab(living=living), within_s=-1, answers=lambda _: False, pause=lambda _: None)
    assert caught.value.why == "no module named tornado"

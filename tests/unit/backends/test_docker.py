"""What the containers of a run are given, and what they are not."""

from __future__ import annotations

import csv
import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.backends.docker import keeper_command, mount, notebook_command
from dayfly.runs.request import ContainerUser, ImageSource, PythonEnvironment, Request, SnapshotSource
from dayfly.runs.store import Store, open_store

RUN_ID = "20261123-101502-analysis-7f3a"
SECRETS = {"AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_SECRET_ACCESS_KEY": "canary", "HOME": "/home/ada"}
request = Request(
    run_id=RUN_ID,
    created=datetime(2026, 11, 23, tzinfo=UTC),
    notebook="/home/ada/project/analysis.ipynb",
    backend="docker",
    snapshot=SnapshotSource(commit="c" * 40, tree="d" * 40, checkout="/dayfly/project"),
    image=ImageSource(
        tag="dayfly/project:1234",
        id="sha256:" + "e" * 64,
        key="1234",
        platform="linux/amd64",
        user=ContainerUser(uid=1000, gid=1001, name="ada", home="/home/ada"),
    ),
    kernel="python3",
    python=PythonEnvironment(executable="/usr/bin/python3", prefix="/usr", source="image"),
    cwd="/dayfly/project",
    cpus=1.5,
    memory_bytes=64_000_000,
)


def values(command: list[str], option: str) -> list[str]:
    return [after for name, after in itertools.pairwise(command) if name == option]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def run_dir(store: Store) -> Path:
    assert store.root is not None
    return store.root / "runs" / RUN_ID


@pytest.fixture
def commands(store: Store, run_dir: Path) -> list[list[str]]:
    bundle = run_dir / "snapshot.bundle"
    return [
        notebook_command(request, run_dir, bundle),
        keeper_command(request, run_dir, store, SECRETS),
    ]


class TestBothContainers:
    def test_have_no_capabilities_and_gain_no_privileges(self, commands: list[list[str]]) -> None:
        for command in commands:
            assert values(command, "--cap-drop") == ["ALL"]
            assert values(command, "--security-opt") == ["no-new-privileges"]
            assert "--privileged" not in command
            assert "--cap-add" not in command

    def test_see_neither_the_engine_nor_the_host(self, commands: list[list[str]]) -> None:
        for command in commands:
            assert not values(command, "--volume")
            assert not [part for part in command if "docker.sock" in part or part.startswith("-v")]
            assert not values(command, "--pid")
            assert values(command, "--network") in ([], ["none"])

    def test_run_as_whoever_started_them(self, commands: list[list[str]]) -> None:
        for command in commands:
            assert values(command, "--user") == ["1000:1001"]

    def test_run_the_image_by_its_id_and_never_pull(self, commands: list[list[str]]) -> None:
        for command in commands:
            assert "sha256:" + "e" * 64 in command
            assert values(command, "--pull") == ["never"]


class TestTheNotebooksContainer:
    def test_has_the_limits_of_the_run_and_no_swap_besides(self, commands: list[list[str]]) -> None:
        notebook, _ = commands
        assert values(notebook, "--cpus") == ["1.5"]
        assert values(notebook, "--memory") == values(notebook, "--memory-swap") == ["64000000"]

    def test_sees_its_run_directory_and_the_bundle_which_it_cannot_write(
        self, commands: list[list[str]], run_dir: Path
    ) -> None:
        assert values(commands[0], "--mount") == [
            f"type=bind,source={run_dir},target=/dayfly/run/{RUN_ID}",
            f"type=bind,source={run_dir}/snapshot.bundle,target=/dayfly/snapshot.bundle,readonly",
        ]

    def test_has_time_to_save_when_it_is_stopped(self, commands: list[list[str]]) -> None:
        assert int(values(commands[0], "--stop-timeout")[0]) > request.grace_s

    def test_has_no_credentials(self, commands: list[list[str]]) -> None:
        assert not [part for part in commands[0] if part.startswith("AWS_") or "canary" in part.lower()]


class TestTheKeepersContainer:
    def test_sees_of_a_local_store_this_run_and_the_status_objects(
        self, commands: list[list[str]], run_dir: Path, store: Store
    ) -> None:
        assert values(commands[1], "--mount") == [
            f"type=bind,source={run_dir},target=/dayfly/store/runs/{RUN_ID}",
            f"type=bind,source={store.root}/status,target=/dayfly/store/status",
        ]

    def test_has_credentials_only_for_a_store_that_needs_them(self, commands: list[list[str]]) -> None:
        assert not [part for part in commands[1] if part.startswith("AWS_")]

    def test_gets_credentials_by_name_so_that_no_process_list_shows_them(self, tmp_path: Path) -> None:
        command = keeper_command(request, tmp_path, open_store("memory://"), SECRETS)
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(values(command, "--env"))
        assert not [part for part in command if "canary" in part.lower()]


@given(st.text(st.characters(blacklist_characters="\0\r", blacklist_categories=["Cs"]), min_size=1))
def test_any_path_can_be_mounted(name: str) -> None:
    value = mount(Path("/data") / name.lstrip("/"), "/target", read_only=True)
    assert (
        next(csv.reader([value], strict=True) if "\n" not in value else csv.reader(value.splitlines(True)))[1]
        == f"source={Path('/data') / name.lstrip('/')}"
    )

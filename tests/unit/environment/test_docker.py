from __future__ import annotations

import os
from pathlib import Path

import pytest

from dayfly.environment.docker import Docker
from dayfly.errors import EngineError


def program(folder: Path, script: str) -> Docker:
    """A docker command that does what `script` says."""
    path = folder / "docker"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Docker(environ={"PATH": os.defpath}, program=str(path))


def test_what_a_command_says_is_handed_on_line_by_line(tmp_path: Path) -> None:
    heard: list[str] = []
    docker = program(tmp_path, 'echo "$1 $DOCKER_BUILDKIT"; echo two >&2; exit 3')
    assert docker.stream(["build"], heard.append, environ={"DOCKER_BUILDKIT": "1"}) == 3
    assert heard == ["build 1", "two"]


def test_what_ends_the_listener_ends_the_command(tmp_path: Path) -> None:
    docker = program(tmp_path, f"trap 'touch {tmp_path}/ended; exit 1' TERM; echo begun; sleep 60 & wait")

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        docker.stream(["build"], interrupt)
    assert (tmp_path / "ended").exists()


def test_a_docker_that_is_not_installed_is_told(tmp_path: Path) -> None:
    docker = Docker(environ={}, program=str(tmp_path / "none"))
    with pytest.raises(EngineError, match="no docker command"):
        docker.run(["version"])
    with pytest.raises(EngineError, match="no docker command"):
        docker.stream(["build"], print)


def test_an_engine_that_is_not_there_is_told(tmp_path: Path) -> None:
    docker = program(tmp_path, "echo 'Cannot connect to the Docker daemon at unix:///x' >&2; exit 1")
    with pytest.raises(EngineError, match="cannot be reached"):
        docker.run(["version"])


def test_what_is_not_there_is_none_and_what_fails_is_told(tmp_path: Path) -> None:
    assert program(tmp_path, "echo 'Error: No such image: x' >&2; exit 1").inspect("image", "x") is None
    with pytest.raises(EngineError, match="docker image inspect"):
        program(tmp_path, "echo 'disk on fire' >&2; exit 1").inspect("image", "x")

"""What the engine tests share: an engine, images, a registry, and projects whose commands reach them.

A part that is missing fails the test: none is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dayfly.environment.docker import Docker
from tests.engine.bench import a_registry, an_engine
from tests.engine.images import BUILD_S, make_base_image, make_kernel_image
from tests.engine.projects import make_repository
from tests.helpers import Place, make_place

HERE = Path(__file__).parent
# The first to come makes the images, and the others wait for them.
TIMEOUT_S = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """An engine that answers."""
    with an_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def base_image(docker: Docker) -> str:
    """A Debian with Python and pip that reaches the package index of this machine."""
    return make_base_image(docker)


@pytest.fixture(scope="session")
def kernel_image(docker: Docker, base_image: str) -> str:
    """The base image with ipykernel in /opt/venv, which is on PATH."""
    return make_kernel_image(docker, base_image)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of a registry that takes everything."""
    with a_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def place(tmp_path: Path, docker: Docker) -> Place:
    """A project, home and store that are this test's alone; its commands reach the engine."""
    reach = {name: value for name, value in docker.environ.items() if name.startswith("DOCKER_")}
    # Twice as long has a command, which may have to build the project's image first.
    return replace(make_place(tmp_path / "place", **reach), patience_s=BUILD_S / 2)


@pytest.fixture
def project(place: Place, kernel_image: str) -> Place:
    """The same as a Git repository with a Dockerfile and a notebook, committed."""
    make_repository(place, dockerfile=f"FROM {kernel_image}\n")
    return place

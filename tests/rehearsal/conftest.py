"""One rehearsal: an emulated AWS whose instances are machines that boot, on the engine tests' bench.

All tests share it, and therefore one worker: one machine boots at a time, however many workers there are.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dayfly.environment.docker import Docker
from dayfly.project.load import load_project
from dayfly.rehearsal.session import Rehearsal, start_rehearsal
from tests.engine.conftest import base_image, docker, kernel_image  # noqa: F401 -- they are fixtures here, too
from tests.rehearsal.rehearsed import Rehearsed, make_user
from tests.rehearsal.tasks_bench import make_key

HERE = Path(__file__).parent
# The first to come makes the images, and the others wait for them.
TIMEOUT_S = 900
_RUNNING: list[ExitStack] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in [item for item in items if HERE in item.path.parents]:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="package")
def user_root(tmp_path_factory: pytest.TempPathFactory, kernel_image: str) -> Path:  # noqa: F811
    """A user's repository, with a Dockerfile and the notebooks that the tests run."""
    return make_user(tmp_path_factory.mktemp("user"), kernel_image)


@pytest.fixture(scope="package")
def rehearsal(user_root: Path, docker: Docker, base_image: str) -> Iterator[Rehearsal]:  # noqa: F811
    """The AWS, with the base stack, and the project's image in its registry."""
    project = load_project(user_root, {})
    with ExitStack() as stack:
        starting = start_rehearsal(project, docker, image_base=base_image, echo=lambda _: None)
        started = stack.enter_context(starting)
        _RUNNING.append(stack)
        yield started


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the rehearsal with its last test: as long as it is there, the environment is not that of others.

    A fixture of a package without `__init__.py` lives as long as the session.
    """
    if nextitem is None or HERE not in nextitem.path.parents:
        while _RUNNING:
            _RUNNING.pop().close()


@pytest.fixture(scope="module")
def key(rehearsal: Rehearsal, user_root: Path) -> Iterator[Path]:
    """The private key of the pair that the base stack has for as long; it has a mirror, too."""
    made = make_key(Path(tempfile.mkdtemp(prefix="keys-", dir=user_root.parent)))
    environ = {**_clean(), **rehearsal.around.emulator.environ()}
    user = Rehearsed(rehearsal=rehearsal, root=user_root, environ=environ)
    user.cli("cloud", "up", "--yes", "--ssh-key", f"{made}.pub", "--mirror", "codecommit")
    yield made
    user.cli("cloud", "up", "--yes", "--ssh-key", "none", "--mirror", "none")


@pytest.fixture
def rehearsed(rehearsal: Rehearsal, user_root: Path) -> Iterator[Rehearsed]:
    """A user of the rehearsal. After the test no machine of it is left, and the clock is right again."""
    one = Rehearsed(
        rehearsal=rehearsal, root=user_root, environ={**_clean(), **rehearsal.around.emulator.environ()}
    )
    yield one
    one.clean_up()


def _clean() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "COLUMNS": "200", "GIT_CONFIG_GLOBAL": os.devnull}

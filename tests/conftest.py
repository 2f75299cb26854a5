"""What every test shares: one Hypothesis profile, and a project of its own for tests that run notebooks."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers import Place, make_place

pytest_plugins = ["tests.fault_records", "tests.grouping"]

# No deadline for a single example: on a busy machine it measures the machine. A whole test is bounded by
# the timeout in pyproject.toml. A failure prints the line that repeats it.
settings.register_profile("dayfly", deadline=None, print_blob=True)
settings.load_profile("dayfly")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A project, home and store that are this test's alone."""
    return make_place(tmp_path / "place")


@pytest.fixture(scope="session")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A project whose runs many tests read and none changes."""
    return make_place(tmp_path_factory.mktemp("shared") / "place")

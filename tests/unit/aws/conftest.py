"""What several tests of AWS begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.environment.plan import ImagePlan, plan_image
from dayfly.project.settings import ImageSettings
from dayfly.runs.store import Store, open_store
from tests.unit.aws.boot_support import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine to boot, for a run."""
    return Machine(tmp_path)


@pytest.fixture
def plan(tmp_path: Path) -> ImagePlan:
    """The image of a project with a Dockerfile."""
    (tmp_path / "Dockerfile").write_text("FROM python\n")
    return plan_image(tmp_path, ImageSettings(name="dayfly/it"), platform="linux/amd64")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store on this disk."""
    return open_store(tmp_path / "store")

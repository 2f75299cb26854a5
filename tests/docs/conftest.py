"""A newcomer's home: a copy of the examples with a Python environment beside it, and nothing else."""

import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Has `demo`, where the pages' commands are executed."""
    demo = tmp_path / "home" / "demo"
    shutil.copytree(ROOT / "examples", demo, ignore=shutil.ignore_patterns("outputs", ".*"))
    (demo / ".venv").symlink_to(sys.prefix)
    return demo.parent


@pytest.fixture
def newcomer(home: Path) -> dict[str, str]:
    """The environment variables of a newcomer, with dayfly on PATH and no environment active."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "HOME": str(home), "PATH": path, "PYTHONUTF8": "1"}

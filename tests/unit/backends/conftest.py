"""What several tests of sweeps need."""

from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.runs.store import open_store
from tests.unit.backends.sweep_desk import Desk
from tests.unit.support import code_cell, make_notebook, tagged, to_content


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    notebook = make_notebook(tagged("parameters", "a: int = 1\nb: str = 'x'"), code_cell("a"))
    (tmp_path / "nb.ipynb").write_bytes(to_content(notebook))
    return Desk(folder=tmp_path, store=open_store(tmp_path / "store"))

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dayfly.backends.container_process import settle_home

if TYPE_CHECKING:
    import pytest


def test_a_home_that_can_be_written_stays(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    settle_home(environ)
    assert environ == {"HOME": str(tmp_path)}


class TestAHomeThatCannotBeWritten:
    def test_is_replaced_by_one_that_can(self) -> None:
        environ = {"HOME": "/"}
        settle_home(environ)
        assert os.access(environ["HOME"], os.W_OK)
        Path(environ["HOME"]).rmdir()

    def test_still_gives_the_packages_and_kernels_that_the_image_put_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".local").mkdir()
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
        environ = {"HOME": str(tmp_path), "JUPYTER_PATH": "/opt/jupyter"}
        settle_home(environ)
        assert environ["PYTHONUSERBASE"] == str(tmp_path / ".local")
        assert environ["JUPYTER_PATH"] == f"/opt/jupyter:{tmp_path}/.local/share/jupyter"
        Path(environ["HOME"]).rmdir()

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from dayfly.runner.probe import find_python, probe


def test_it_finds_the_python_of_the_active_environment_first(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    environ = {"VIRTUAL_ENV": str(tmp_path), "PATH": os.defpath}
    found = find_python(environ)
    assert found is not None
    assert found["executable"] == str(tmp_path / "bin" / "python")


def test_it_finds_the_one_on_path_and_passes_by_what_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    found = find_python({"PATH": str(tmp_path)})
    assert found is not None
    assert found["executable"] == str(tmp_path / "python")
    assert found["version"].startswith("3.")


def test_it_tells_who_runs_it_and_what_there_is() -> None:
    answer = json.loads(json.dumps(probe({**os.environ, "VIRTUAL_ENV": sys.prefix, "HOME": "/somewhere"})))
    assert answer["user"]["uid"] == os.getuid()
    assert answer["user"]["home"] == "/somewhere"
    assert "python3" in {kernel["name"] for kernel in answer["kernels"]}
    assert "ipykernel" in answer["packages"]

"""Faults that a sweep meets as a whole."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import PROGRAMS, Place

_ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=2m tmpfs "$1" || { echo "cannot mount a tmpfs" >&2; exit 99; }
set +e
"$2" sweep for_papermill.ipynb -p number=1..200 --jobs 2 --store "$1"
"""


@pytest.mark.fault(43)
def test_fault_43_the_disk_is_full_before_all_points_have_run(place: Place, tmp_path: Path) -> None:
    """The sweep ends, says how far it came and why not farther, and nothing of it goes on."""
    place.notebook("for_papermill")
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = shutil.which("unshare")
    assert unshare, "unshare is missing: it is part of util-linux"
    namespace = "-m" if os.geteuid() == 0 else "-Urm"
    done = subprocess.run(
        [unshare, namespace, "sh", "-c", _ON_A_SMALL_DISK, "sh", disk, PROGRAMS / "dayfly"],
        cwd=place.root,
        env=dict(place.environ),
        capture_output=True,
        timeout=120,
        check=False,
    )
    told = done.stderr.decode()
    assert done.returncode == 13, told
    assert f"The disk that holds {disk} is full" in told
    assert "make room, then go on" in told
    assert "Traceback" not in told
    assert "left to run)" in told

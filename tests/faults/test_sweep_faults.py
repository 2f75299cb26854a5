"""Faults that a sweep meets as a whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dayfly.backends.sweep_creation import pool_alive
from dayfly.runs.catalog import find_sweep_ids, list_runs
from dayfly.runs.state import State
from tests.helpers import PROGRAMS, Place, assert_nothing_runs, wait_for

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0, 0.005, 0.02, 0.1])
def test_a_sweep_ends_however_early_its_end_is_asked_for(
    place: Place, after_s: float, number: signal.Signals
) -> None:
    points = place.root / "points.yaml"
    points.write_text("- {}\n")
    with place.started("sweep", str(place.notebook("sleeps")), "--file", str(points)) as process:
        wait_for(lambda: find_sweep_ids(place.store), "the sweep")
        time.sleep(after_s)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    (sweep_id,) = find_sweep_ids(place.store)
    # One that was started just before has no lock yet, and goes on all the same.
    assert_nothing_runs(place.find(sweep_id))
    assert not pool_alive(place.store, sweep_id)
    assert {run.state for run in list_runs(place.store)} <= {State.INTERRUPTED}, said.decode()
    assert process.returncode in {State.INTERRUPTED.exit_code, 130}


@pytest.mark.parametrize("after_s", [0, 0.005, 0.02, 0.1])
def test_a_sweep_goes_on_however_early_its_terminal_closes(place: Place, after_s: float) -> None:
    points = place.root / "points.yaml"
    points.write_text("- {}\n")
    with place.started("sweep", str(place.notebook("hello")), "--file", str(points)) as process:
        wait_for(lambda: find_sweep_ids(place.store), "the sweep")
        time.sleep(after_s)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
    (sweep_id,) = find_sweep_ids(place.store)
    wait_for(
        lambda: [run for run in list_runs(place.store) if run.state is not None and run.state.ended],
        "the end of its run",
        within_s=60,
    )
    wait_for(lambda: not pool_alive(place.store, sweep_id), "the end of its pool")
    assert [run.state for run in list_runs(place.store)] == [State.SUCCEEDED]

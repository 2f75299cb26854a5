"""Faults of the runner and of what it stands on: its process, its disk, its clock, its memory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dayfly.runner.checkpoints import LONGEST_S, keep_checkpoints, pause_after
from dayfly.runner.notebook_file import NotebookFile, Snapshot
from dayfly.runs import layout
from dayfly.runs.catalog import list_runs
from dayfly.runs.state import State
from tests.helpers import (
    PROGRAMS,
    Place,
    assert_nothing_runs,
    cell_states,
    end_processes,
    output_of,
    read_valid,
    run_dir_of,
    runner_process,
    text_of,
    wait_for,
    wait_for_checkpoint,
)

_MEGABYTE = 1_000_000


@pytest.mark.fault(6)
def test_fault_06_a_cell_prints_thirty_times_what_a_run_keeps(place: Place) -> None:
    """The output says that and where it was cut, and the runner's memory stays bounded."""
    notebook = str(place.notebook("floods"))
    started = place.cli("run", notebook, "-p", "megabytes=150", "--output-limit", "5MB", "--detach")
    run = place.find(started.out.strip())
    most = _most_memory_of(runner_process(run))
    assert run.wait(30) is State.SUCCEEDED
    assert most < 300 * _MEGABYTE
    executed = output_of(run)
    assert cell_states(executed) == ["executed"] * 5
    note = text_of(executed["cells"][3])[-300:]
    assert "[dayfly] Output truncated here" in note
    assert "5,000,000 bytes" in note
    for name in (layout.OUTPUT, layout.LOG + "/000000000000.txt"):
        assert (run_dir_of(run) / name).stat().st_size < 7 * _MEGABYTE
    assert run.result is not None
    assert "The output of cell 4 was truncated" in run.result.warnings[0]
    assert "truncated" in place.cli("attach", run.run_id).err
    assert_nothing_runs(run)


def _most_memory_of(pid: int) -> int:
    """The most resident memory that a process ever has, in bytes; returns when it has ended."""
    most = 0

    def ended() -> bool:
        nonlocal most
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        most = max(most, int(match[1]) * 1024 if match else 0)
        return match is None

    wait_for(ended, "the end of the runner")
    return most


class _SlowDisk(NotebookFile):
    """A notebook file on a disk that takes `cost_s` for each checkpoint, by a clock of its own."""

    cost_s = 20.0
    now_s = 0.0
    written = 0

    def write(self, snapshot: Snapshot) -> int:
        self.now_s += self.cost_s
        size = super().write(snapshot)
        self.written += 1
        return size


@pytest.mark.fault(7)
def test_fault_07_saving_is_slow(tmp_path: Path) -> None:
    """The user is warned, the notebook on disk is valid, and the next checkpoint is within 60 s."""
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "a",
        "source": "1",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    file = _SlowDisk(tmp_path / "output.ipynb", notebook)
    warnings: list[str] = []

    async def until_warned() -> None:
        warned = asyncio.Event()

        def warn(message: str) -> None:
            warnings.append(message)
            warned.set()

        task = asyncio.create_task(
            keep_checkpoints(file, file.snapshot, warn, on_disk_full=pytest.fail, clock=lambda: file.now_s)
        )
        await asyncio.wait_for(warned.wait(), 30)
        task.cancel()
        await asyncio.wait([task])

    try:
        asyncio.run(until_warned())
    finally:
        file.close()
    assert warnings == ["Saving is slow: a checkpoint took 20 s. The next is in 60 s."]
    assert file.written == 1
    read_valid((tmp_path / "output.ipynb").read_bytes())


@pytest.mark.parametrize("cost_s", [0.001, 1, 5, 6, 60, 3600])
@pytest.mark.fault(7)
def test_fault_07_at_most_sixty_seconds_of_work_are_lost_however_slow_saving_is(cost_s: float) -> None:
    assert pause_after(cost_s) <= LONGEST_S == 60


@pytest.mark.fault(8)
def test_fault_08_the_runner_is_killed(place: Place) -> None:
    """The command that waits for it says so, exits with 14, and names what is left; so does `show`."""
    notebook = place.notebook("waits")
    with place.started("run", str(notebook)) as process:
        (run_id,) = wait_for(lambda: [s.run_id for s in list_runs(place.store)], "the run")
        run = place.find(run_id)
        try:
            wait_for_checkpoint(run, ["executed", "running", "not_run"])
            os.kill(runner_process(run), signal.SIGKILL)
            _, said = process.communicate(timeout=30)
            assert process.returncode == 14
            assert "lost" in said.decode()
            assert "what it had saved is still there" in said.decode()
            assert_nothing_runs(run)
        finally:
            end_processes(run)
    assert cell_states(output_of(run)) == ["executed", "running", "not_run"]
    shown = place.show(run)
    assert "Its runner is gone and left no result. 1 cells had been executed." in shown
    assert place.cli("attach", run_id, code=14).out == ""


@pytest.fixture
def jumping_clock(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A file that says how far the wall clock of a process is off, and the environment that heeds it.

    libfaketime changes what the system tells of the wall clock; the monotonic clock stays as it is.
    """
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    assert libraries, "libfaketime is missing: scripts/system-packages.sh installs it"
    file = tmp_path / "clock"
    file.write_text("+0\n")
    # It makes time.sleep fail in the kernel, which is not what is tested here: the kernel goes without.
    kernel = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python", "env": {"LD_PRELOAD": ""}}
    kernel.write_text(json.dumps(spec))
    return file, {
        "JUPYTER_PATH": str(tmp_path / "jupyter"),
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DISABLE_SHM": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.mark.fault(25)
def test_fault_25_the_wall_clock_jumps_ahead(
    place: Place, jumping_clock: tuple[Path, dict[str, str]]
) -> None:
    """A limit of ten minutes does not strike because the clock leaps by an hour."""
    clock, environ = jumping_clock
    limits = ("--timeout", "10m", "--cell-timeout", "10m")
    with place.running("waits", *limits, says="waiting for a file", environ=environ) as run:
        clock.write_text("+1h\n")
        in_an_hour = datetime.now(UTC) + timedelta(hours=1)
        assert list_runs(place.store, now=in_an_hour)[0].state is State.RUNNING
        (place.root / "go").touch()
        assert run.wait(30) is State.SUCCEEDED
        assert cell_states(output_of(run)) == ["executed"] * 3
        ended = list(run.events())[-1]["at"]
        assert datetime.fromisoformat(ended) > in_an_hour - timedelta(minutes=1), "the clock did not jump"
        assert "succeeded" in place.show(run)
        assert_nothing_runs(run)


@pytest.mark.fault(25)
def test_fault_25_the_wall_clock_jumps_back(place: Place, jumping_clock: tuple[Path, dict[str, str]]) -> None:
    """A limit of five seconds strikes within seconds, not after an hour; no time that is told is negative."""
    clock, environ = jumping_clock
    with place.running("waits", "--cell-timeout", "5s", says="waiting for a file", environ=environ) as run:
        clock.write_text("-1h\n")
        assert run.wait(30) is State.TIMED_OUT
        assert cell_states(output_of(run)) == ["executed", "interrupted", "not_run"]
        assert run.result is not None
        assert run.result.duration_s >= 0
        finished = [event for event in run.events() if event["type"] == "cell_finished"]
        assert min(event["duration_s"] for event in finished) >= 0
        assert_nothing_runs(run)


_ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=3m tmpfs "$1" || { echo "cannot mount a tmpfs" >&2; exit 99; }
set +e
"$2" run fills_the_disk.ipynb --store "$1"
code=$?
"$2" show --store "$1"
cp -r "$1"/. "$3"
exit $code
"""


@pytest.mark.fault(43)
def test_fault_43_the_disk_is_full(place: Place, tmp_path: Path) -> None:
    """The run ends as failed, told as what it is; what was saved is valid and says how far it came."""
    place.notebook("fills_the_disk")
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.mkdir()
    saved.mkdir()
    unshare = shutil.which("unshare")
    assert unshare, "unshare is missing: it is part of util-linux"
    namespace = "-m" if os.geteuid() == 0 else "-Urm"
    done = subprocess.run(
        [unshare, namespace, "sh", "-c", _ON_A_SMALL_DISK, "sh", disk, PROGRAMS / "dayfly", saved],
        cwd=place.root,
        env=dict(place.environ),
        capture_output=True,
        timeout=60,
        check=False,
    )
    told = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 10, told
    assert "is full" in told
    assert "Traceback" not in told
    (run_dir,) = (saved / layout.RUNS).iterdir()
    notebook = read_valid((run_dir / layout.OUTPUT).read_bytes())
    assert cell_states(notebook)[0] == "executed"
    assert cell_states(notebook)[1] in {"running", "interrupted", "not_run"}
    assert cell_states(notebook)[2] == "not_run"
    assert '"reason": "disk_full"' in (run_dir / layout.RESULT).read_text()
    assert not list(run_dir.glob(".*"))
    assert_nothing_runs(place.find(run_dir.name))

"""Faults of what a command is started from: keys that come early, streams that are closed or not read."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from dayfly.runs.catalog import list_runs
from dayfly.runs.state import State
from tests.helpers import PATIENCE_S, PROGRAMS, Place, wait_for


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_an_end_is_told_as_an_interruption_however_early_it_comes(
    place: Place, after_s: float, number: signal.Signals
) -> None:
    with place.started("run", str(place.notebook("sleeps"))) as process:
        wait_for(lambda: list_runs(place.store), "the run")
        time.sleep(after_s)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    made = [
        place.find(run.run_id) for run in list_runs(place.store)
    ]  # none, where it came before all was written
    for run in made:  # its result comes a moment before it is told as ended
        run.wait(PATIENCE_S)
    assert {run.state for run in made} <= {State.INTERRUPTED}, said.decode()
    assert process.returncode in {State.INTERRUPTED.exit_code, 130}


def _shell(place: Place, script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", f'dayfly() {{ {PROGRAMS / "dayfly"} "$@"; }}; {script}'],
        cwd=place.root,
        env=dict(place.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_may_be_closed(place: Place, closed: str) -> None:
    done = _shell(place, f"dayfly run {place.notebook('hello')} {closed}")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"Traceback" not in done.stderr
    assert [run.state for run in list_runs(place.store)] == [State.SUCCEEDED]


@pytest.mark.parametrize("how", ["2>&1", "--json", "--json 2>&1"])
def test_a_run_whose_reader_has_gone_is_still_waited_for(place: Place, how: str) -> None:
    notebook = place.notebook("fails")
    done = _shell(place, f"dayfly run {notebook} {how} | head -c 1; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == State.FAILED.exit_code, done
    assert [run.state for run in list_runs(place.store)] == [State.FAILED]


def test_the_current_directory_may_be_gone(place: Place) -> None:
    done = _shell(place, "mkdir gone; cd gone; rmdir ../gone; dayfly ps")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, b"error: The current directory is gone.")


def test_a_page_that_cannot_be_written_is_told(place: Place) -> None:
    place.run("hello")
    done = place.cli("open", "--html", "nowhere/page.html", code=2)
    assert "nowhere/page.html cannot be written." in done.err


def test_a_list_whose_reader_has_gone_is_no_failure(place: Place) -> None:
    done = _shell(place, "dayfly ps --help | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_what_is_ignored_from_the_beginning_does_not_end_a_run(place: Place, number: signal.Signals) -> None:
    """As with nohup, and with a job in the background of a script."""
    notebook, name = place.notebook("hello"), number.name.removeprefix("SIG")
    with subprocess.Popen(
        ["bash", "-c", f"trap '' {name}; exec {PROGRAMS / 'dayfly'} run {notebook}"],
        cwd=place.root,
        env=dict(place.environ),
        stderr=subprocess.PIPE,
    ) as process:
        wait_for(lambda: list_runs(place.store), "the run")
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said.decode()

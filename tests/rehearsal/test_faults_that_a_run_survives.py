"""FAULTS: what must not matter, on one machine that boots: one run meets all of it and loses nothing."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import ExitStack

import pytest

from dayfly.rehearsal.faults.deeds import CREDENTIALS_S
from dayfly.runs.catalog import list_runs
from dayfly.runs.run import Run
from tests.fault_records import Record
from tests.helpers import PROGRAMS
from tests.rehearsal.rehearsed import Rehearsed

ROWS = {
    15: "pull retried three times",
    24: "quiet",
    26: "quiet",
    29: "quiet",
    30: "`dayfly ps` shows it",
    33: "`dayfly attach` shows the end",
    38: "quiet",
}


@pytest.mark.fault(15, 24, 26, 29, 30, 33, 38)
def test_one_run_survives_them_all(rehearsed: Rehearsed, record: Record) -> None:
    """Throttled pulls, credentials of a minute, S3 at 503, a network that flaps, a client that dies."""
    known = {one.run_id for one in list_runs(rehearsed.rehearsal.store)}
    with ExitStack() as faults:
        throttled = faults.enter_context(rehearsed.fault("api-throttled"))
        rotating = faults.enter_context(rehearsed.fault("credentials-rotate"))
        pulls = faults.enter_context(rehearsed.fault("pull-throttled"))
        flapping = faults.enter_context(rehearsed.fault("network-flaps", "cell:2"))
        client = subprocess.Popen(
            [str(PROGRAMS / "dayfly"), "run", "waits.ipynb", "--on", "ec2", "--yes"],
            cwd=rehearsed.root,
            env=rehearsed.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        rehearsed.happened(rotating)
        client.send_signal(signal.SIGKILL)
        client.wait()
        (run_id,) = {one.run_id for one in list_runs(rehearsed.rehearsal.store)} - known
        assert run_id in rehearsed.cli("ps", "--json").out
        run = Run(run_id, rehearsed.rehearsal.store)
        for fault in (throttled, pulls, flapping):
            rehearsed.happened(fault)
        rehearsed.rehearsal.around.emulator.fault("s3:*", status=503, code="SlowDown", times=-1)
        time.sleep(20)
        rehearsed.rehearsal.around.emulator.heal()
        time.sleep(max(rehearsed.happened(rotating) + CREDENTIALS_S + 5 - time.monotonic(), 0.0))
        rehearsed.go(run)
        attached = rehearsed.cli("attach", run_id)
        ended = time.monotonic()
        gone = rehearsed.gone(run)
    left = rehearsed.left(run)
    assert (left.state, left.done, left.cells, left.teardown) == ("succeeded", 3, 3, "done")
    assert sum("pulled again" in warning for warning in left.warnings) >= 3
    assert f"dayfly open {run_id}" in attached.err
    for row, told in ROWS.items():
        record(row=row, left=left.words, gone=max(gone - ended, 0.0), told=f"{left.told}; {told}")
    rehearsed.let_deadline_pass(run)
    rehearsed.expect_nothing_left()

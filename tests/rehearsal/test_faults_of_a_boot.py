"""FAULTS: a boot that goes wrong, on a machine that boots.

Seconds count from the fault to the end of the machine.
"""

from __future__ import annotations

import pytest

from tests.fault_records import Record
from tests.rehearsal.rehearsed import Rehearsed


@pytest.mark.fault(13, 27)
def test_the_machine_may_not_use_the_bucket(rehearsed: Rehearsed, record: Record) -> None:
    """It cannot say so in the bucket, and ends."""
    with rehearsed.fault("s3-denied", "boot") as fault:
        run = rehearsed.submit("hello")
        happened = rehearsed.happened(fault)
        gone = rehearsed.gone(run)
    left = rehearsed.left(run)
    record(left=left.words, gone=gone - happened, told=left.told)
    assert (left.state, left.words, left.teardown) == ("never_started", "nothing", "done")
    rehearsed.let_deadline_pass(run)
    rehearsed.expect_nothing_left()


@pytest.mark.fault(14)
def test_the_docker_daemon_hangs(rehearsed: Rehearsed, record: Record) -> None:
    budget_s = 30
    with (
        rehearsed.settings(boot_budget=f"{budget_s}s"),
        rehearsed.fault("docker-daemon-hangs", "boot") as fault,
    ):
        run = rehearsed.submit("hello", "--commit", "HEAD")
        happened = rehearsed.happened(fault)
        gone = rehearsed.gone(run, within_s=180)
    left = rehearsed.left(run)
    record(
        left="the machine's log",
        gone=f"{gone - happened:.1f} s, {budget_s} s of them its boot budget",
        told=left.told,
    )
    assert (left.state, left.reason) == ("never_started", "boot_timed_out")
    assert "docker" in left.message
    assert rehearsed.machine_log(run)
    rehearsed.let_deadline_pass(run)
    rehearsed.expect_nothing_left()


@pytest.mark.fault(13, 17)
def test_the_image_does_not_fit_onto_the_disk(rehearsed: Rehearsed, record: Record) -> None:
    with rehearsed.fault("disk-full-at-pull") as fault:
        run = rehearsed.submit("hello")
        happened = rehearsed.happened(fault)
        gone = rehearsed.gone(run)
    left = rehearsed.left(run)
    record(left="the machine's log", gone=f"{gone - happened:.1f} s after it was switched on", told=left.told)
    assert (left.state, left.reason) == ("never_started", "disk_full")
    assert rehearsed.machine_log(run)
    rehearsed.let_deadline_pass(run)
    rehearsed.expect_nothing_left()


@pytest.mark.fault(23)
def test_the_metadata_service_is_down(rehearsed: Rehearsed, record: Record) -> None:
    """The machine gets neither user data nor credentials, and is there until its deadline."""
    with rehearsed.fault("metadata-down") as fault:
        run = rehearsed.submit("hello")
        rehearsed.happened(fault)
        rehearsed.let_deadline_pass(run)
        rehearsed.gone(run)
    left = rehearsed.left(run)
    record(left=left.words, gone="at its deadline", told=left.told)
    assert (left.state, left.words, left.teardown) == ("never_started", "nothing", "done")
    rehearsed.expect_nothing_left()

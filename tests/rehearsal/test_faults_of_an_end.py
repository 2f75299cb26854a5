"""FAULTS: an end that goes wrong, on a machine that boots.

Seconds count from the end of the notebook's last cell, or from the fault, to the end of the machine.
"""

from __future__ import annotations

import time

import pytest

from tests.fault_records import Record
from tests.rehearsal.rehearsed import Rehearsed

LIFE_S = 90
"""Of a machine whose deadline is waited for in real time."""


@pytest.mark.fault(28)
def test_s3_is_down_at_the_end_and_comes_back(rehearsed: Rehearsed, record: Record) -> None:
    """The keeper tries until the deadline."""
    with rehearsed.fault("s3-503", "end") as fault:
        run = rehearsed.submit("hello")
        happened = rehearsed.happened(fault)
        gone = rehearsed.gone(run)
    left = rehearsed.left(run)
    record(left=left.words, gone=f"{gone - happened:.1f} s, when S3 is back after 20 s", told=left.told)
    assert (left.state, left.done, left.cells) == ("succeeded", 4, 4)


@pytest.mark.fault(28)
def test_s3_is_down_at_the_end_and_stays_so(rehearsed: Rehearsed, record: Record) -> None:
    """The emulated clock is moved to the deadline; what was carried before is there."""
    with rehearsed.fault("s3-down-at-end", "cell:2") as fault:
        run = rehearsed.submit("waits")
        rehearsed.happened(fault)
        rehearsed.go(run)
        time.sleep(3)
        assert rehearsed.machine(run).gone is None
        rehearsed.let_deadline_pass(run)
        rehearsed.gone(run)
    left = rehearsed.left(run)
    record(left=left.words, gone="at its deadline", told=left.told)
    assert (left.state, left.cells) == ("lost", 3)
    assert left.done <= 1
    rehearsed.expect_nothing_left()


@pytest.mark.fault(35, 36)
def test_the_stack_cannot_be_deleted_neither_by_the_machine_nor_by_cloudformation(
    rehearsed: Rehearsed, record: Record
) -> None:
    """The machine is denied and powers off; at the deadline, a security group cannot be deleted."""
    with (
        rehearsed.fault("stack-delete-failed", "cell:2"),
        rehearsed.fault("self-deletion-denied", "cell:2") as fault,
    ):
        run = rehearsed.submit("waits")
        rehearsed.happened(fault)
        rehearsed.go(run)
        run.wait(60)
        ended = time.monotonic()
        gone = rehearsed.gone(run)
        left = rehearsed.left(run)
        record(
            left=left.words, gone=max(gone - ended, 0.0), told=f"{left.told}; cleanup {left.teardown}", row=35
        )
        assert (left.state, left.done, left.teardown) == ("succeeded", 3, "alive")
        rehearsed.let_deadline_pass(run)
        assert rehearsed.stack(run) == "DELETE_FAILED"
        said = rehearsed.cli("cloud", "doctor", code=None).out
        assert "DELETE_FAILED" in said or "SecurityGroup" in said, said
        left = rehearsed.left(run)
        record(
            left=left.words,
            gone=max(gone - ended, 0.0),
            told=f"{left.told}; cleanup {left.teardown}; doctor names the resource",
            row=36,
        )
        assert left.teardown == "stuck"
    rehearsed.cli("stop", "--now", run.run_id)
    rehearsed.expect_nothing_left()


@pytest.mark.fault(25)
def test_the_machines_own_clock_ends_it_when_nobody_else_does(rehearsed: Rehearsed, record: Record) -> None:
    """Schedule and boot budget are gone, the boot hangs: systemd's monotonic timer is left, in real time."""
    rehearsal = rehearsed.rehearsal
    with rehearsed.fault("docker-daemon-hangs", "boot"):
        run = rehearsed.submit_until("hello", LIFE_S)
        machine = rehearsed.machine(run)
        rehearsal.aws.scheduler.delete_schedule(Name=run.run_id, GroupName=rehearsal.base.schedule_group)
        armed = "until systemctl stop dayfly-boot-budget.timer; do sleep 0.2; done"
        rehearsal.around.docker.run(["exec", machine.container, "bash", "-c", armed], timeout_s=LIFE_S)
        gone = rehearsed.gone(run, within_s=2 * LIFE_S)
    record(
        left="nothing: it had not begun",
        gone=f"at its deadline by its own clock, {gone - machine.started:.0f} s after it began",
        told="-",
    )
    assert machine.ended == "powered off"
    rehearsal.aws.cloudformation.delete_stack(StackName=rehearsed.stack_name(run))
    rehearsed.expect_nothing_left()

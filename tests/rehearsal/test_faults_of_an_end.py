"""FAULTS: an end that goes wrong, on a machine that boots.

Seconds count from the end of the notebook's last cell, or from the fault, to the end of the machine.
"""

from __future__ import annotations

import time

import pytest

from tests.fault_records import Record
from tests.rehearsal.rehearsed import PATIENCE_S, Rehearsed

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
        deadline = rehearsed.deadline(run)
        rehearsed.happened(fault)
        rehearsed.go(run)
        rehearsed.wait_for_notebook(run)
        assert rehearsed.machine(run).gone is None
        rehearsed.let_deadline_pass(run, deadline)
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
        run.wait(PATIENCE_S)
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


@pytest.mark.fault(12, 25)
def test_a_deadline_ends_a_machine_in_real_time_by_the_schedule_or_by_the_machines_own_clock(
    rehearsed: Rehearsed, record: Record
) -> None:
    """Nobody's clock is moved. One machine never hears of its user data, so that the schedule is left.

    Of the other, schedule and boot budget are gone and the boot hangs: systemd's monotonic timer is left.
    """
    rehearsal = rehearsed.rehearsal
    with rehearsed.fault("user-data-never-runs") as fault:
        deaf = rehearsed.submit_until("hello", LIFE_S)
        rehearsed.happened(fault)
    with rehearsed.fault("docker-daemon-hangs", "boot"):
        alone = rehearsed.submit_until("hello", LIFE_S)
        machine = rehearsed.machine(alone)
        rehearsal.aws.scheduler.delete_schedule(Name=alone.run_id, GroupName=rehearsal.base.schedule_group)
        armed = "until systemctl stop dayfly-boot-budget.timer; do sleep 0.2; done"
        rehearsal.around.docker.run(["exec", machine.container, "bash", "-c", armed], timeout_s=LIFE_S)
        gone = rehearsed.gone(alone, within_s=2 * LIFE_S)
    record(
        row=25,
        left="nothing: it had not begun",
        gone=f"at its deadline by its own clock, {gone - machine.started:.0f} s after it began",
        told="-",
    )
    assert machine.ended == "powered off"
    gone = rehearsed.gone(deaf, within_s=2 * LIFE_S)
    left, began = rehearsed.left(deaf), rehearsed.machine(deaf).started
    record(
        row=12, left=left.words, gone=f"at its deadline, {gone - began:.0f} s after it began", told=left.told
    )
    assert (left.state, left.words, left.teardown) == ("never_started", "nothing", "done")
    rehearsal.aws.cloudformation.delete_stack(StackName=rehearsed.stack_name(alone))
    rehearsed.expect_nothing_left()

"""FAULTS: what happens to a machine while its notebook runs, on one that boots.

The notebook has three cells, the second of which waits. Seconds count from the fault to the machine's end.
"""

from __future__ import annotations

import pytest

from dayfly.runs.state import State
from tests.fault_records import Record
from tests.rehearsal.rehearsed import Left, Rehearsed


def meet(
    rehearsed: Rehearsed,
    record: Record,
    name: str,
    *more: str,
    go: bool = False,
    silent: bool = False,
    notebook: str = "waits",
) -> Left:
    """Let a run meet a fault in its second cell, which then goes on if `go`, and end the machine.

    A `silent` end is noticed by missed heartbeats, or when its stack is gone.
    """
    with rehearsed.fault(name, "cell:2") as fault:
        run = rehearsed.submit(notebook, *more)
        happened = rehearsed.happened(fault)
        if go:
            rehearsed.go(run)
        gone = rehearsed.gone(run)
    if silent:
        assert rehearsed.state_later(run) is State.LOST
        rehearsed.let_deadline_pass(run)
    left = rehearsed.left(run)
    record(left=left.words, gone=gone - happened, told=left.told)
    rehearsed.let_deadline_pass(run)
    rehearsed.expect_nothing_left()
    return left


@pytest.mark.fault(3)
def test_the_notebook_needs_more_memory_than_it_may_have(rehearsed: Rehearsed, record: Record) -> None:
    left = meet(rehearsed, record, "out-of-memory", notebook="eats", go=True)
    assert (left.state, left.reason, left.done, left.cells) == ("failed", "kernel_died", 1, 3)
    assert "memory" in left.message


@pytest.mark.fault(8)
def test_the_runner_is_killed(rehearsed: Rehearsed, record: Record) -> None:
    left = meet(rehearsed, record, "runner-killed")
    assert (left.state, left.reason, left.cells) == ("lost", "runner_gone", 3)
    assert left.done <= 1


@pytest.mark.fault(9)
def test_somebody_stops_the_notebooks_container(rehearsed: Rehearsed, record: Record) -> None:
    left = meet(rehearsed, record, "docker-stop")
    assert (left.state, left.reason, left.done, left.cells) == ("interrupted", "signal", 1, 3)


@pytest.mark.fault(18)
def test_the_disk_is_full(rehearsed: Rehearsed, record: Record) -> None:
    left = meet(rehearsed, record, "disk-full", notebook="waits_then_floods", go=True)
    assert (left.state, left.reason) == ("failed", "disk_full")
    assert left.done >= 1


@pytest.mark.fault(19)
def test_the_boot_script_is_killed(rehearsed: Rehearsed, record: Record) -> None:
    left = meet(rehearsed, record, "supervisor-killed")
    assert (left.state, left.cells) == ("lost", 3)
    assert left.done <= 1


@pytest.mark.fault(19)
def test_the_keeper_is_killed(rehearsed: Rehearsed, record: Record) -> None:
    """Nobody else saves the run: another keeper takes it over."""
    left = meet(rehearsed, record, "keeper-killed", go=True)
    assert (left.state, left.done, left.cells) == ("succeeded", 3, 3)


@pytest.mark.fault(20)
def test_the_machine_freezes(rehearsed: Rehearsed, record: Record) -> None:
    """Nobody notices before the deadline: the emulated clock is moved there."""
    with rehearsed.fault("freeze", "cell:2") as fault:
        run = rehearsed.submit("waits")
        rehearsed.happened(fault)
        assert rehearsed.state_later(run) is State.LOST
        assert rehearsed.machine(run).gone is None
        rehearsed.let_deadline_pass(run)
        rehearsed.gone(run)
    left = rehearsed.left(run)
    record(left=left.words, gone="at its deadline", told=left.told)
    assert (left.state, left.cells, left.teardown) == ("lost", 3, "done")
    assert left.done <= 1
    rehearsed.expect_nothing_left()


@pytest.mark.fault(21)
def test_aws_takes_a_spot_machine_back(rehearsed: Rehearsed, record: Record) -> None:
    left = meet(rehearsed, record, "spot-notice", "--spot")
    assert (left.state, left.reason, left.done, left.cells) == ("interrupted", "spot", 1, 3)


@pytest.mark.fault(22)
def test_the_machine_vanishes_without_a_word(rehearsed: Rehearsed, record: Record) -> None:
    left = meet(rehearsed, record, "power-cut", silent=True)
    assert (left.state, left.cells) == ("lost", 3)
    assert left.done <= 1

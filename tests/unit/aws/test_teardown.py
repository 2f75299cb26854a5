"""Where the end of a machine is, by its stack."""

from __future__ import annotations

import pytest

from dayfly.aws.stacks import Stack
from dayfly.aws.teardown import MachineEnd, Teardown, judge_end
from tests.unit.machine_runs import STACK_ID, STACK_NAME, stack_event
from tests.unit.support import NOW


def stack(status: str, reason: str = "") -> Stack:
    return Stack(stack_id=STACK_ID, name=STACK_NAME, status=status, reason=reason, created=NOW)


@pytest.mark.parametrize(
    ("status", "teardown"),
    [
        ("CREATE_IN_PROGRESS", Teardown.ALIVE),
        ("CREATE_COMPLETE", Teardown.ALIVE),
        ("DELETE_IN_PROGRESS", Teardown.PENDING),
        ("ROLLBACK_IN_PROGRESS", Teardown.PENDING),
        ("DELETE_COMPLETE", Teardown.DONE),
        ("DELETE_FAILED", Teardown.STUCK),
        ("ROLLBACK_FAILED", Teardown.STUCK),
    ],
)
def test_each_status_is_a_place_on_the_way(status: str, teardown: Teardown) -> None:
    assert judge_end(stack(status)).teardown is teardown


def test_a_stack_that_nobody_remembers_is_gone() -> None:
    assert judge_end(None) == MachineEnd(teardown=Teardown.DONE, status="DELETE_COMPLETE")


def test_a_stuck_one_names_the_resource_that_is_in_the_way() -> None:
    events = [
        stack_event("CREATE_FAILED", 1, of="Old", reason="not this"),
        stack_event("DELETE_IN_PROGRESS", 2),
        stack_event("DELETE_FAILED", 3, of="SecurityGroup", kind="AWS::EC2::SecurityGroup", reason="in use"),
        stack_event("DELETE_FAILED", 4, reason="The following resource(s) failed to delete."),
    ]
    assert judge_end(stack("DELETE_FAILED"), events).why == "SecurityGroup (AWS::EC2::SecurityGroup): in use"


def test_of_two_deletions_the_last_counts() -> None:
    events = [
        stack_event("DELETE_IN_PROGRESS", 2),
        stack_event("DELETE_FAILED", 3, of="Instance", reason="protected"),
        stack_event("DELETE_IN_PROGRESS", 5),
        stack_event("DELETE_FAILED", 6, of="SecurityGroup", kind="sg", reason="in use"),
    ]
    assert judge_end(stack("DELETE_FAILED"), events).why == "SecurityGroup (sg): in use"


def test_without_events_the_stacks_own_reason_is_told() -> None:
    assert judge_end(stack("DELETE_FAILED", "It is protected.")).why == "It is protected."

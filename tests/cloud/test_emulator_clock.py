"""The clock of the emulated AWS, which tests move: what falls due on the way has happened then."""

from __future__ import annotations

from datetime import timedelta

from dayfly.aws.client import Aws
from dayfly.aws.deadline import arm_deadline
from dayfly.aws.names import machine_stack_name
from dayfly.rehearsal.emulator import Emulator
from tests.cloud.conftest import EmulatorClock
from tests.cloud.stacks import base_stack

LONGER_THAN_TWO_TICKS_S = 3.0
"""The emulator looks for what is due each second, too."""


def test_of_two_schedules_that_fall_due_a_second_apart_both_have_been_carried_out(
    aws: Aws, emulator: Emulator, clock: EmulatorClock
) -> None:
    base = base_stack(aws)
    deadline = clock.now() + timedelta(hours=1)
    for number in range(2):
        name = f"machine-{number}"
        stack_name = machine_stack_name(base.project, name)
        due = deadline + timedelta(seconds=number)
        arm_deadline(aws, base, name=name, stack_name=stack_name, deadline=due)
    emulator.fault(
        "cloudformation:DeleteStack", kind="delay", delay_s=LONGER_THAN_TWO_TICKS_S, after=True, times=-1
    )
    clock.sleep((deadline - clock.now()).total_seconds() + 60)
    answers = [one["status"] for one in emulator.requests(operation="DeleteStack")]
    assert answers == [200, 200]

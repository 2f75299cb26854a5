"""The deadline: a schedule outside of the machine that deletes its stack, armed before the stack exists.

EventBridge Scheduler calls CloudFormation's DeleteStack itself (a universal target), at the deadline and
every ten minutes after it, for a deletion that fails or a service that is down; then the schedule removes
itself. Deleting a stack that is gone is no error, so nobody has to disarm it.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.errors import AwsError

SAVE_MARGIN_S = 300.0
"""After timeout and grace: for the last save and for saying goodbye."""
DEFAULT_TIMEOUT_S = 8 * 3600.0
"""Of a task on a machine for which none was given: one that is forgotten ends within the working day."""
INSISTS = timedelta(hours=2)
"""For how long the schedule goes on deleting after the deadline."""
_TARGET = "arn:aws:scheduler:::aws-sdk:cloudformation:deleteStack"
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"


def deadline_of(now: datetime, *, boot_budget_s: float, timeout_s: float, grace_s: float) -> datetime:
    """When the machine's stack is deleted whatever happens, to the second, in UTC."""
    seconds = boot_budget_s + timeout_s + grace_s + SAVE_MARGIN_S
    return (now + timedelta(seconds=seconds)).replace(microsecond=0)


def arm_deadline(aws: Aws, base: BaseStack, *, name: str, stack_name: str, deadline: datetime) -> None:
    """Make the schedule that ends the stack `stack_name`, which need not exist yet.

    Repeating it with the same values is no error. Raises AwsError when it cannot be armed; nothing that
    costs money may be created then.
    """
    try:
        aws.scheduler.create_schedule(
            Name=name,
            GroupName=base.schedule_group,
            ScheduleExpression="rate(10 minutes)",
            StartDate=deadline,
            EndDate=deadline + INSISTS,
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Description=f"Deletes {stack_name} at {deadline.strftime(_INSTANT)}, whatever happens.",
            Target={
                "Arn": _TARGET,
                "RoleArn": base.scheduler_role_arn,
                "Input": json.dumps({"StackName": stack_name}),
                "RetryPolicy": {"MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": 600},
            },
            ClientToken=name,
        )
    except AwsError as error:
        if error.code == "ConflictException":  # it is there: this is the second try of one submission
            return
        raise not_armed(error, "created") from error


def not_armed(error: AwsError, done: str) -> AwsError:
    """What is told of a deadline that AWS refused, so that nothing was `done`: created, submitted."""
    return AwsError(
        f"The deadline cannot be armed, so nothing was {done}.",
        why=f"{error.what} {error.why}".strip(),
        hint=error.hint or "See what is wrong with: dayfly cloud doctor",
        code=error.code,
        operation=error.operation,
        message=error.message,
    )


def disarm_deadline(aws: Aws, base: BaseStack, *, name: str) -> None:
    """Remove the schedule of a stack that is gone. One that is not there is no error."""
    try:
        aws.scheduler.delete_schedule(Name=name, GroupName=base.schedule_group)
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise

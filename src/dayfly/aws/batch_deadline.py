"""The deadline of a sweep: a schedule outside of it that ends its array job, armed before the job exists.

Batch gives a job its id, so the schedule is made first, for a name that is no job, and is pointed at the job
as soon as there is one. In between, and whatever becomes of the schedule, the job's own limits hold, which it
is submitted with: Batch ends each attempt after its time, and no point begins too near to the deadline.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.aws.deadline import INSISTS, not_armed
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from mypy_boto3_scheduler.type_defs import CreateScheduleInputTypeDef

TARGET = "arn:aws:scheduler:::aws-sdk:batch:terminateJob"
REASON = "dayfly: the deadline of the sweep"


def arm_sweep(aws: Aws, base: BaseStack, *, name: str, deadline: datetime) -> None:
    """Make the schedule that will end a job. Raises AwsError; nothing may be submitted then."""
    try:
        aws.scheduler.create_schedule(**_schedule(base, name, f"{name}-unborn", deadline))
    except AwsError as error:
        if error.code == "ConflictException":  # the second try of one submission
            return
        raise not_armed(error, "submitted") from error


def aim_sweep(aws: Aws, base: BaseStack, *, name: str, job_id: str, deadline: datetime) -> None:
    """Point the schedule at the job that there is now. Raises AwsError."""
    aws.scheduler.update_schedule(**_schedule(base, name, job_id, deadline))


def _schedule(base: BaseStack, name: str, job_id: str, deadline: datetime) -> CreateScheduleInputTypeDef:
    target: Any = {
        "Arn": TARGET,
        "RoleArn": base.scheduler_role_arn,
        "Input": json.dumps({"JobId": job_id, "Reason": REASON}),
        "RetryPolicy": {"MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": 600},
    }
    return {
        "Name": name,
        "GroupName": base.schedule_group,
        "ScheduleExpression": "rate(10 minutes)",
        "StartDate": deadline,
        "EndDate": deadline + INSISTS,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Description": f"Ends {name} at {deadline:%Y-%m-%dT%H:%M:%SZ}, whatever happens.",
        "Target": target,
    }

"""Runs on a machine in AWS: the request is in the bucket, the deadline is armed, then the stack is created.

Each step can be repeated, and a client that is killed after any of them leaves nothing that its deadline
does not end. What goes on afterwards is read from the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dayfly.aws.hardware import find_alternatives
from dayfly.aws.machine import NO_CAPACITY, UNWATCHED, apply_machine, find_made
from dayfly.aws.machine_facts import load_record
from dayfly.aws.names import DEADLINE_TAG
from dayfly.aws.stacks import find_stack
from dayfly.errors import AwsError, RunConflictError, StoreError
from dayfly.runs import layout
from dayfly.runs.machine import MachineRecord
from dayfly.runs.request import Request
from dayfly.runs.result import CellCounts, Reason, Result
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.aws.machine import MachinePlan
    from dayfly.aws.stacks import StackEvent
    from dayfly.backends.ec2_target import Ec2Target

TOO_LATE = "DeadlineTooNear"
"""The `code` of the AwsError for a submission that is taken up when its deadline is near, or past."""


@dataclass(frozen=True)
class Ec2Run:
    """A run on a machine, for whoever started it. Nothing of it is on this computer."""

    run: Run

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the run has ended; True when it has."""
        try:
            self.run.wait(timeout_s)
        except TimeoutError:
            return False
        return True

    def leave(self) -> None:
        """Go on without it: it needs nobody."""

    def interrupt(self) -> None:
        """Ask for the end of the run, through its store."""
        try:
            self.run.stop(by="whoever started it")
        except RunConflictError:
            return  # it has ended


def start_ec2(
    store: Store,
    request: Request,
    target: Ec2Target,
    *,
    on_event: Callable[[StackEvent], None] = lambda _: None,
) -> Ec2Run:
    """Make the machine of a run that is in the store. Returns when its instance is there.

    A submission that was cut off is taken up where it was; one that has made its machine, or whose run has
    ended, is as it is. Raises AwsError when there can be no machine: the run has never started then, and says
    why, unless the code is UNWATCHED.
    """
    run, plan, aws = Run(request.run_id, store), target.plan(request), target.aws
    left = _what_is_there(store, request.run_id)
    if layout.RESULT in left:
        return Ec2Run(run)
    record = load_record(run) if layout.MACHINE_RECORD in left else None
    if record is not None and run.state is not State.PROVISIONING:
        return Ec2Run(run)
    try:
        _check_time_left(plan, aws.now())
        if target.notify:
            store.put(layout.run_key(request.run_id, layout.NOTIFY), target.notify.encode())
        apply_machine(
            aws,
            plan,
            on_record=lambda record: _put_record(store, record, now=aws.now()),
            on_event=on_event,
            first=_next_attempt(aws, record),
        )
    except AwsError as error:
        if error.code == UNWATCHED:
            raise
        told = _with_alternatives(error, target)
        with suppress(StoreError):  # what AWS said is what must be told
            tell_never_started(store, request, told, now=aws.now())
        raise told from error
    return Ec2Run(run)


def settle_interrupted(store: Store, request: Request, target: Ec2Target) -> bool:
    """After `start_ec2` was interrupted: whether AWS has been asked for a machine, which then goes on.

    When it has not, the run has never started, and says so. Raises AwsError and StoreError.
    """
    run = Run(request.run_id, store)
    if load_record(run) is not None:
        return True
    record = find_made(target.aws, target.plan(request))
    if record is not None:
        _put_record(store, record, now=target.aws.now())
        return True
    interrupted = AwsError("The submission was interrupted before its machine was made.")
    tell_never_started(store, request, interrupted, now=target.aws.now())
    return False


def _what_is_there(store: Store, run_id: str) -> set[str]:
    """The names of the run's own files."""
    prefix = layout.run_prefix(run_id)
    return {entry.key.removeprefix(prefix) for entry in store.list(prefix.rstrip("/"))}


def _check_time_left(plan: MachinePlan, now: datetime) -> None:
    """Raise AwsError for a submission that is taken up so late that its machine would only boot."""
    if plan.deadline - now < timedelta(seconds=plan.boot_budget_s):
        raise AwsError(
            f"The deadline of {plan.machine_id} is too near: {plan.tags[DEADLINE_TAG]}.",
            why="A deadline never moves, and this submission was cut off long ago.",
            hint=f"Submit it again, with another token or none: dayfly rerun {plan.machine_id}",
            code=TOO_LATE,
        )


def _next_attempt(aws: Aws, record: MachineRecord | None) -> int:
    """Where to go on: at the attempt that was begun, or after it when its stack is gone."""
    if record is None:
        return 1
    stack = find_stack(aws, record.stack_id)
    return record.attempt + (stack is None or stack.status.startswith("DELETE"))


def _with_alternatives(error: AwsError, target: Ec2Target) -> AwsError:
    """Where AWS has none of a type to spare, what else would do."""
    if error.code != NO_CAPACITY:
        return error
    try:
        offers = find_alternatives(target.aws, target.hardware, os.environ)
    except AwsError:
        return error
    others = "\n".join(f"  --instance {offer.describe()}" for offer in offers)
    hint = f"{error.hint}\nThese would do:\n{others}" if others else error.hint
    return AwsError(error.what, why=error.why, hint=hint, code=error.code)


def _put_record(store: Store, record: MachineRecord, *, now: datetime) -> None:
    store.put(layout.run_key(record.machine_id, layout.MACHINE_RECORD), record.to_bytes())
    if record.attempt > 1:  # nobody beats yet, and zone after zone takes its time
        put_status(store, record.machine_id, State.PROVISIONING, now)


def tell_never_started(store: Store, request: Request, error: AwsError, *, now: datetime) -> None:
    """Say in the store that a run will never start, and why."""
    ended = now.astimezone(UTC)
    result = Result(
        run_id=request.run_id,
        state=State.NEVER_STARTED,
        reason=Reason.NO_MACHINE,
        message="\n".join(part for part in (error.what, error.why) if part),
        started=request.created,
        ended=ended,
        duration_s=round((ended - request.created).total_seconds(), 3),
        cells=CellCounts(),
    )
    store.put(layout.run_key(request.run_id, layout.RESULT), result.to_bytes())
    put_status(store, request.run_id, State.NEVER_STARTED, ended)

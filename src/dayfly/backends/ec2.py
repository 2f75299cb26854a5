"""Runs on a machine in AWS: the request is in the bucket, the deadline is armed, then the stack is created.

Each step can be repeated, and a client that is killed after any of them leaves nothing that its deadline
does not end. What goes on afterwards is read from the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dayfly.aws.hardware import find_alternatives
from dayfly.aws.machine import NO_CAPACITY, apply_machine
from dayfly.errors import AwsError, RunConflictError
from dayfly.runs import layout
from dayfly.runs.machine import MachineRecord
from dayfly.runs.request import Request
from dayfly.runs.result import CellCounts, Reason, Result
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store

if TYPE_CHECKING:
    from dayfly.aws.stacks import StackEvent
    from dayfly.backends.ec2_target import Ec2Target


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

    A submission that was cut off is taken up where it was. Raises AwsError when there can be no machine;
    the run has never started then, and says why.
    """
    run = Run(request.run_id, store)
    if store.exists(layout.run_key(request.run_id, layout.MACHINE_RECORD)):
        return Ec2Run(run)
    plan = target.plan(request)
    try:
        if target.notify:
            store.put(layout.run_key(request.run_id, layout.NOTIFY), target.notify.encode())
        apply_machine(
            target.aws, plan, on_record=lambda record: _put_record(store, record), on_event=on_event
        )
    except AwsError as error:
        told = _with_alternatives(error, target)
        tell_never_started(store, request, told, now=target.aws.now())
        raise told from error
    return Ec2Run(run)


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


def _put_record(store: Store, record: MachineRecord) -> None:
    store.put(layout.run_key(record.machine_id, layout.MACHINE_RECORD), record.to_bytes())


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

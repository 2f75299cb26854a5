"""What is known of a run's machine: from its run directory, and from CloudFormation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from dayfly.aws.client import Aws
from dayfly.aws.estimates import estimate
from dayfly.aws.names import machine_stack_name, schedule_name
from dayfly.aws.prices import Price
from dayfly.aws.stacks import StackEvent, find_stack, first_failure, is_missing, list_events
from dayfly.aws.teardown import MachineEnd, Teardown, find_end
from dayfly.errors import AwsError, DayflyError, StoreError
from dayfly.runs import layout
from dayfly.runs.follow import MACHINE_FAILED, Event, MachineReader
from dayfly.runs.machine import MachineRecord, MachineSource
from dayfly.runs.model import parse_model
from dayfly.runs.run import Run
from dayfly.runs.state import State

_UNTOLD = {State.LOST, State.NEVER_STARTED}
"""Ends that the run directory does not explain, but perhaps the stack does."""
_AT_WORK = {State.RUNNING, State.SAVING}


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """A run's machine: as it was asked for, as it was made (None before), and how it ended."""

    source: MachineSource
    record: MachineRecord | None
    end: MachineEnd
    failed: Event | None = None
    """Where its boot failed, as it told."""
    cause: StackEvent | None = None
    """What failed first in its stack."""
    begun: bool = False
    """Whether a runner has said anything: a machine may die before the beat that tells of it."""

    @property
    def alive(self) -> bool:
        """Whether it is known to cost something still."""
        return self.end.teardown in {Teardown.ALIVE, Teardown.PENDING, Teardown.STUCK}

    def true_state(self, said: State | None) -> State | None:
        """What has become of a run that is said to go on, when its machine is known to be gone."""
        if said is None or said.ended or self.end.teardown is not Teardown.DONE:
            return said
        return State.LOST if self.begun or said in _AT_WORK else State.NEVER_STARTED

    def cost(self, until: datetime) -> Decimal | None:
        """Dollars from its creation until then, by the price that it was planned with; None without one."""
        price, at = self.source.price_per_hour, self.source.price_at
        if price is None or at is None or self.record is None:
            return None
        return estimate(Price(per_hour=price, at=at), until - self.record.created)


def load_record(run: Run) -> MachineRecord | None:
    """The stack that the run's machine has or had; None while there is none."""
    key = layout.run_key(run.run_id, layout.MACHINE_RECORD)
    content = run.store.get(key)
    return None if content is None else parse_model(MachineRecord, content, f"{run.store.url}/{key}")


def load_machine_facts(run: Run, state: State | None, open_aws: Callable[[], Aws]) -> MachineFacts | None:
    """What is known of the machine of a run; None for a run that has none.

    One DescribeStacks, and the stack's events where the run directory cannot explain the end. Without
    credentials, or an answer, the end is unknown; that is no error.
    """
    source = run.request.machine
    if source is None:
        return None
    record = load_record(run)
    told = MachineReader(run.store, run.run_id).read()
    failed = next((event for event in told if event["type"] == MACHINE_FAILED), None)
    facts = MachineFacts(
        source=source, record=record, end=_unknown("No stack was made for it."), failed=failed
    )
    try:
        aws = open_aws()
        record = record or _find_unrecorded(aws, run.run_id, source)
        if record is None:
            return facts
        facts = replace(facts, record=record)
        facts = replace(facts, end=find_end(aws, record.stack_id))
        if state is not None and not state.ended and facts.end.teardown is Teardown.DONE:
            with suppress(StoreError):  # the end is known all the same, here and below
                begun = any(run.store.list(layout.run_key(run.run_id, layout.EVENTS)))
                facts = replace(facts, begun=begun)
        if facts.true_state(state) in _UNTOLD:
            with suppress(AwsError):
                facts = replace(facts, cause=first_failure(load_stack_events(aws, record)))
    except DayflyError as error:
        return replace(facts, end=_unknown(error.what))
    return facts


def _find_unrecorded(aws: Aws, run_id: str, source: MachineSource) -> MachineRecord | None:
    """The stack of a submission that was cut off before it wrote down that it had made one."""
    stack = find_stack(aws, machine_stack_name(source.project, run_id))
    if stack is None:
        return None
    return MachineRecord(
        machine_id=run_id,
        stack_name=stack.name,
        stack_id=stack.stack_id,
        schedule=schedule_name(run_id),
        subnet=stack.parameters.get("SubnetId", ""),
        created=stack.created,
    )


def load_stack_events(aws: Aws, record: MachineRecord) -> list[StackEvent]:
    """What happened to the machine's stack, oldest first; CloudFormation keeps it for 90 days after the end.

    Raises AwsError; a stack that AWS knows no more has no events.
    """
    try:
        return list_events(aws, record.stack_id)
    except AwsError as error:
        if is_missing(error):
            return []
        raise


def _unknown(why: str) -> MachineEnd:
    return MachineEnd(teardown=Teardown.UNKNOWN, why=why)

"""How far the end of a machine is: its stack deleted, being deleted, or stuck, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dayfly.aws.client import Aws
from dayfly.aws.stacks import Stack, StackEvent, find_stack, first_failure, list_events
from dayfly.errors import AwsError

_DELETING = "DELETE_IN_PROGRESS"


class Teardown(StrEnum):
    """Where the end of a machine is."""

    ALIVE = "alive"
    """Nobody has begun to delete its stack."""
    PENDING = "pending"
    DONE = "done"
    STUCK = "stuck"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class MachineEnd:
    """Where the end of a machine is, CloudFormation's word for it, and what stands in its way."""

    teardown: Teardown
    status: str = ""
    why: str = ""


def judge_end(stack: Stack | None, events: Sequence[StackEvent] = ()) -> MachineEnd:
    """The end of a machine by its stack; `events`, oldest first, say what a stuck one is stuck at.

    None is a stack that CloudFormation knows no more: deleted, more than 90 days ago.
    """
    if stack is None or stack.status == "DELETE_COMPLETE":
        return MachineEnd(teardown=Teardown.DONE, status="DELETE_COMPLETE")
    if stack.status.endswith("_FAILED"):
        return MachineEnd(teardown=Teardown.STUCK, status=stack.status, why=_obstacle(stack, events))
    deleting = stack.status == _DELETING or "ROLLBACK" in stack.status
    return MachineEnd(teardown=Teardown.PENDING if deleting else Teardown.ALIVE, status=stack.status)


def _obstacle(stack: Stack, events: Sequence[StackEvent]) -> str:
    """The resource that the last deletion failed at, and what AWS said of it."""
    begun = [number for number, event in enumerate(events) if event.of_stack and event.status == _DELETING]
    first = first_failure(events[begun[-1] :] if begun else events)
    if first is None or first.of_stack:
        return (first.reason if first else "") or stack.reason
    return f"{first.logical_id} ({first.type}): {first.reason or first.status}"


def find_end(aws: Aws, stack_id: str) -> MachineEnd:
    """Look: one DescribeStacks, and the events of a stuck stack. What cannot be known is unknown, and why."""
    try:
        stack = find_stack(aws, stack_id)
        failed = stack is not None and stack.status.endswith("_FAILED")
        return judge_end(stack, list_events(aws, stack_id) if failed else ())
    except AwsError as error:
        return MachineEnd(teardown=Teardown.UNKNOWN, why=error.what)

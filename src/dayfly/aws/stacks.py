"""CloudFormation stacks: made, followed to their end, explained where they fail, and deleted.

Following costs one DescribeStackEvents a second at most, and less while nothing happens: the events say both
what is new and where the stack stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from dayfly.aws.names import tag_list
from dayfly.aws.translate import is_transient
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

    from dayfly.aws.client import Aws

OnFailure = Literal["DO_NOTHING", "ROLLBACK", "DELETE"]

CREATED = frozenset({"CREATE_COMPLETE"})
UPDATED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
DELETED = frozenset({"DELETE_COMPLETE"})

FAILED = "StackFailed"
"""The `code` of the AwsError of a stack that came to another end than was waited for."""
TIMED_OUT = "StackTimedOut"
"""The `code` of the AwsError of a stack that did not come to its end in time."""

_BEGINNING = "_IN_PROGRESS"
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 5.0
_PATIENCE = 1.5
"""By how much each wait is longer than the last while nothing happens."""
_FOLLOWS = re.compile(r"cancelled|were? not (?:created|updated)", re.IGNORECASE)
"""What CloudFormation says of resources that failed only because another one had."""


@dataclass(frozen=True, kw_only=True)
class StackEvent:
    """One thing that happened to a stack or to a resource of it. `at` is UTC."""

    event_id: str
    at: datetime
    stack_id: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str = ""

    @property
    def of_stack(self) -> bool:
        """Whether it tells of the stack itself."""
        return self.physical_id == self.stack_id

    @property
    def failed(self) -> bool:
        """Whether it tells of something that went wrong."""
        return self.status.endswith("_FAILED")


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack as it stands. Times are UTC."""

    stack_id: str
    name: str
    status: str
    reason: str = ""
    created: datetime
    role_arn: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether CloudFormation works on it."""
        return is_busy(self.status)


def is_busy(status: str) -> bool:
    """Whether a stack in `status` will be in another soon."""
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def is_missing(error: AwsError) -> bool:
    """Whether AWS has said that there is no such stack."""
    return error.code == "ValidationError" and "does not exist" in error.message


def find_stack(aws: Aws, name: str) -> Stack | None:
    """The stack of this name or id; None when there is none. One deleted is found by its id alone."""
    try:
        return _stack(aws.cloudformation.describe_stacks(StackName=name)["Stacks"][0])
    except AwsError as error:
        if is_missing(error):
            return None
        raise


def list_stacks(aws: Aws, *, tags: Mapping[str, str]) -> list[Stack]:
    """Every stack that bears all of `tags`, whatever its status; deleted ones are not listed."""
    pages = aws.cloudformation.get_paginator("describe_stacks").paginate()
    found = (_stack(one) for page in pages for one in page["Stacks"])
    return [one for one in found if tags.items() <= one.tags.items()]


def create_stack(  # noqa: PLR0913 -- what a stack is made of
    aws: Aws,
    name: str,
    body: str,
    *,
    parameters: Mapping[str, str],
    tags: Mapping[str, str],
    role_arn: str | None = None,
    on_failure: OnFailure = "DELETE",
    token: str | None = None,
) -> str:
    """Begin a stack that makes no IAM resources, and return its id. The same `token` twice begins one.

    Raises AwsError; its code is AlreadyExistsException when the name is taken.
    """
    # CreateStack is refused for a missing argument and for an empty one: give only what there is.
    optional: dict[str, Any] = {"RoleARN": role_arn, "ClientRequestToken": token}
    made = aws.cloudformation.create_stack(
        StackName=name,
        TemplateBody=body,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Tags=cast("Any", tag_list(tags)),
        OnFailure=on_failure,
        **{key: value for key, value in optional.items() if value},
    )
    return made["StackId"]


def delete_stack(
    aws: Aws,
    stack_id: str,
    *,
    role_arn: str | None = None,
    retain: Sequence[str] = (),
    force: bool = False,
) -> None:
    """Begin the deletion of a stack; one that is gone is no error.

    `retain` (logical ids) and `force` are for a stack in DELETE_FAILED: resources to leave behind, or
    whatever cannot be deleted. `role_arn` replaces the role the stack was made with.
    """
    optional: dict[str, Any] = {
        "RoleARN": role_arn,
        "RetainResources": list(retain),
        "DeletionMode": "FORCE_DELETE_STACK" if force else None,
    }
    try:
        aws.cloudformation.delete_stack(
            StackName=stack_id, **{key: value for key, value in optional.items() if value}
        )
    except AwsError as error:
        if not is_missing(error):
            raise


def list_events(aws: Aws, stack_id: str, *, after: str | None = None) -> list[StackEvent]:
    """What happened to a stack, oldest first; only what is newer than the event `after` (an id)."""
    found: list[StackEvent] = []
    for page in aws.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for one in page["StackEvents"]:
            if one["EventId"] == after:
                return found[::-1]
            found.append(_event(one))
    return found[::-1]


def last_event_id(aws: Aws, stack_id: str) -> str | None:
    """The id of the newest event, from which `wait_for_stack` goes on; None when there is no such stack."""
    try:
        events = aws.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
    except AwsError as error:
        if is_missing(error):
            return None
        raise
    return events[0]["EventId"] if events else None


def first_failure(events: Iterable[StackEvent]) -> StackEvent | None:
    """The failure that the others followed from: the first of a resource, else the stack's own."""
    failed = [one for one in events if one.failed]
    causes = [one for one in failed if not one.of_stack and not _FOLLOWS.search(one.reason)]
    return next(iter(causes or failed), None)


def wait_for_stack(  # noqa: PLR0913 -- what to wait for, for how long, and who is told
    aws: Aws,
    stack_id: str,
    *,
    until: Collection[str],
    within_s: float,
    on_event: Callable[[StackEvent], None] | None = None,
    after: str | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Stack:
    """Follow a stack until its status is one of `until` (CREATED, UPDATED, DELETED), for at most `within_s`.

    `stack_id` is the id, by which a deleted stack is still found. What happened up to the event `after`
    (`last_event_id`) is old and does not count. `on_event` is told of each event, oldest first, and may
    raise; `on_wait` is called before each wait. A service that is busy, or away, is asked again.

    Raises AwsError: FAILED with the first failed resource when the stack rests in another status,
    TIMED_OUT when it did not rest in time; the stack is left as it is.
    """
    began = aws.now()
    seen: list[StackEvent] = []
    wait_s = _FIRST_WAIT_S
    while True:
        before = len(seen)
        try:
            rests = _look(aws, stack_id, until, seen, after=after, on_event=on_event or (lambda _: None))
        except AwsError as error:  # the stack goes on, whether or not AWS can be asked just now
            if not is_transient(error):
                raise
            rests = None
        if rests is not None:
            return rests
        if (aws.now() - began).total_seconds() >= within_s:
            raise _timed_out(stack_id, _status_in(seen), seen, within_s)
        wait_s = _FIRST_WAIT_S if len(seen) > before else min(wait_s * _PATIENCE, _LONGEST_WAIT_S)
        if on_wait is not None:
            on_wait()
        aws.sleep(wait_s)


def _look(  # noqa: PLR0913 -- as above
    aws: Aws,
    stack_id: str,
    until: Collection[str],
    seen: list[StackEvent],
    *,
    after: str | None,
    on_event: Callable[[StackEvent], None],
) -> Stack | None:
    """The stack when it has come to what was waited for; what is new is added to `seen`."""
    fresh, gone = _fresh_events(aws, stack_id, seen[-1].event_id if seen else after)
    for event in fresh:
        seen.append(event)
        on_event(event)
    # AWS tells no more of a stack that is gone, and nothing new of one that was gone before `after`.
    if not fresh and DELETED & set(until) and _is_deleted(aws, stack_id):
        return _deleted(stack_id, aws.now())
    if not gone and is_busy(_status_in(seen) or _BEGINNING):
        return None
    stack = find_stack(aws, stack_id) or _deleted(stack_id, aws.now())
    if stack.status in until:
        return stack
    if not stack.busy:
        raise stack_error(stack, seen)
    return None


def stack_error(stack: Stack, events: Sequence[StackEvent]) -> AwsError:
    """Why a stack failed, in words: its first failed resource, and what AWS said of it."""
    first = first_failure(events)
    if first is None:
        why = stack.reason or "AWS has not said why."
    elif first.of_stack:
        why = first.reason
    else:
        why = f"{first.logical_id} ({first.type}): {first.reason or first.status}"
    return AwsError(
        f"The stack {stack.name} could not be {_VERBS.get(stack.status, 'finished')}: {stack.status}.",
        why=why,
        hint="See all that happened with: aws cloudformation describe-stack-events --stack-name "
        + (stack.stack_id if stack.status == "DELETE_COMPLETE" else stack.name),
        code=FAILED,
        operation=stack.status,
        message=first.reason if first else stack.reason,
    )


_VERBS = {
    "CREATE_FAILED": "created",
    "ROLLBACK_COMPLETE": "created",
    "ROLLBACK_FAILED": "created, nor what was made of it be taken away",
    "DELETE_COMPLETE": "created",
    "DELETE_FAILED": "deleted",
    "UPDATE_ROLLBACK_COMPLETE": "updated, and is as it was before",
    "UPDATE_ROLLBACK_FAILED": "updated, nor be brought back to what it was",
    "UPDATE_FAILED": "updated",
}


def _fresh_events(aws: Aws, stack_id: str, after: str | None) -> tuple[list[StackEvent], bool]:
    """What is new, and whether AWS knows the stack no more."""
    try:
        return list_events(aws, stack_id, after=after), False
    except AwsError as error:
        if is_missing(error):
            return [], True
        raise


def _status_in(events: Sequence[StackEvent]) -> str | None:
    """Where the stack stands, by what it said last."""
    return next((one.status for one in reversed(events) if one.of_stack), None)


def _is_deleted(aws: Aws, stack_id: str) -> bool:
    stack = find_stack(aws, stack_id)
    return stack is None or stack.status == "DELETE_COMPLETE"


def _timed_out(stack_id: str, status: str | None, seen: Sequence[StackEvent], within_s: float) -> AwsError:
    """What was not finished, and what it waits for."""
    name = stack_id.split("/")[1] if "/" in stack_id else stack_id
    latest = {one.logical_id: one for one in seen if not one.of_stack}
    waiting = [one.logical_id for one in latest.values() if one.status.endswith("_IN_PROGRESS")]
    return AwsError(
        f"The stack {name} was not ready within {within_s:.0f} s: it is {status or 'not begun'}.",
        why=f"It waits for {', '.join(waiting)}." if waiting else "",
        hint="CloudFormation goes on with it. See what it does with: "
        f"aws cloudformation describe-stack-events --stack-name {name}",
        code=TIMED_OUT,
        operation=status or "",
    )


def _deleted(stack_id: str, at: datetime) -> Stack:
    name = stack_id.split("/")[1] if "/" in stack_id else stack_id
    return Stack(stack_id=stack_id, name=name, status="DELETE_COMPLETE", created=at)


def _stack(found: StackTypeDef) -> Stack:
    return Stack(
        stack_id=found.get("StackId", ""),
        name=found["StackName"],
        status=found["StackStatus"],
        reason=found.get("StackStatusReason", ""),
        created=found["CreationTime"],
        role_arn=found.get("RoleARN", ""),
        parameters={
            one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", [])
        },
        outputs={one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])},
        tags={one["Key"]: one["Value"] for one in found.get("Tags", [])},
    )


def _event(found: StackEventTypeDef) -> StackEvent:
    return StackEvent(
        event_id=found["EventId"],
        at=found["Timestamp"],
        stack_id=found["StackId"],
        logical_id=found.get("LogicalResourceId", ""),
        physical_id=found.get("PhysicalResourceId", ""),
        type=found.get("ResourceType", ""),
        status=found.get("ResourceStatus", ""),
        reason=found.get("ResourceStatusReason", ""),
    )

"""Making the base stack what a plan says, by a change set: CloudFormation itself says what would change."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dayfly.aws.base import TEMPLATE_VERSION
from dayfly.aws.base_plan import REMAINS, BasePlan
from dayfly.aws.names import PROJECT_TAG, VERSION_TAG, tag_list
from dayfly.aws.stacks import (
    DELETED,
    FAILED,
    UPDATED,
    Stack,
    StackEvent,
    delete_stack,
    find_stack,
    is_missing,
    last_event_id,
    list_events,
    stack_error,
    wait_for_stack,
)
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ChangeTypeDef, DescribeChangeSetOutputTypeDef

    from dayfly.aws.client import Aws

WITHIN_S = 900.0
"""How long CloudFormation may take for all of it; a minute is usual."""
INTERFERED = "Interfered"
"""The `code` of the AwsError when somebody else changes the stack just now."""

_CHANGE_SET_WITHIN_S = 180.0
_POLL_S = 1.0
_NOTHING = ("didn't contain changes", "No updates are to be performed", "does not contain changes")
_OVERTAKEN = {
    "AlreadyExistsException",
    "ChangeSetNotFound",
    "ChangeSetNotFoundException",
    "InvalidChangeSetStatus",
    "InvalidChangeSetStatusException",
}

OnEvent = Callable[[StackEvent], None]


@dataclass(frozen=True, kw_only=True)
class StackChange:
    """One thing that an update would do. `replaced`: what is there goes, and another comes."""

    action: str
    logical_id: str
    type: str
    replaced: bool


@dataclass(frozen=True, kw_only=True)
class ChangeSet:
    """What CloudFormation has worked out and would do when told."""

    name: str
    stack_name: str
    stack_id: str
    changes: tuple[StackChange, ...]
    creates: bool
    after: str | None
    """The stack's last event before it."""


def remove_remains(aws: Aws, plan: BasePlan, on_event: OnEvent) -> None:
    """Delete what a failed attempt left. Bucket and images stay. Raises AwsError."""
    assert plan.stack is not None  # noqa: S101 -- there is nothing to replace otherwise
    after = last_event_id(aws, plan.stack.stack_id)
    delete_stack(aws, plan.stack.stack_id)
    wait_for_stack(aws, plan.stack.stack_id, until=DELETED, within_s=WITHIN_S, on_event=on_event, after=after)


def prepare_change(aws: Aws, plan: BasePlan) -> ChangeSet | None:
    """Let CloudFormation work out what the plan changes; None when nothing. Nothing is changed yet.

    Raises AwsError; its code is INTERFERED when somebody else is at it.
    """
    creates = plan.action in {"create", "replace"}
    after = None if creates and plan.stack is None else last_event_id(aws, plan.stack_name)
    # Names begin with a letter, and two people's must differ.
    name = f"dayfly-{secrets.token_hex(6)}"
    try:
        made = aws.cloudformation.create_change_set(
            StackName=plan.stack_name,
            ChangeSetName=name,
            ChangeSetType="CREATE" if creates else "UPDATE",
            TemplateBody=plan.template,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": text} for key, text in plan.parameters.items()
            ],
            Tags=cast("Any", tag_list({PROJECT_TAG: plan.project, VERSION_TAG: str(TEMPLATE_VERSION)})),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        found = _wait_for_change_set(aws, plan.stack_name, name)
    except AwsError as error:
        raise _interfered(error) from error
    if found["Status"] == "FAILED":
        _delete_change_set(aws, plan.stack_name, name)
        reason = found.get("StatusReason", "")
        if any(words in reason for words in _NOTHING):
            return None
        _forget_unborn(aws, plan.stack_name)
        raise AwsError(f"The stack {plan.stack_name} cannot be changed like that.", why=reason, code=FAILED)
    return ChangeSet(
        name=name,
        stack_name=plan.stack_name,
        stack_id=made["StackId"],
        changes=tuple(_changes(aws, plan.stack_name, name, found)),
        creates=creates,
        after=after,
    )


def discard_change(aws: Aws, change: ChangeSet) -> None:
    """Forget what was worked out. A stack that was only to be created goes with it."""
    _delete_change_set(aws, change.stack_name, change.name)
    if change.creates:
        _forget_unborn(aws, change.stack_name)


def execute_change(aws: Aws, change: ChangeSet, on_event: OnEvent) -> Stack:
    """Carry it out and follow it to its end.

    Raises AwsError with the first failed resource. A stack that could not be created is taken away; one
    that could not be updated is as it was. The code is INTERFERED when somebody else was faster.
    """
    if change.creates:
        _check_unborn(aws, change)
    try:
        aws.cloudformation.execute_change_set(
            StackName=change.stack_name,
            ChangeSetName=change.name,
            ClientRequestToken=change.name,
        )
    except AwsError as error:
        raise _interfered(error) from error
    try:
        return wait_for_stack(
            aws, change.stack_id, until=UPDATED, within_s=WITHIN_S, on_event=on_event, after=change.after
        )
    except AwsError as error:
        if error.code == FAILED and change.creates:
            _take_away(aws, change, on_event)
        raise


def _forget_unborn(aws: Aws, name: str) -> None:
    """Delete a stack that no change set was ever carried out on; any other is left alone."""
    stack = find_stack(aws, name)
    if stack is not None and stack.status == "REVIEW_IN_PROGRESS":
        delete_stack(aws, stack.stack_id)


def follow_other(aws: Aws, name: str, on_event: OnEvent) -> None:
    """Wait until whoever is changing the stack has finished. How it ended is not judged."""
    stack = find_stack(aws, name)
    if stack is None or not stack.busy:
        return
    try:
        wait_for_stack(aws, stack.stack_id, until={*UPDATED, *DELETED}, within_s=WITHIN_S, on_event=on_event)
    except AwsError as error:
        if error.code != FAILED:
            raise


def _check_unborn(aws: Aws, change: ChangeSet) -> None:
    """A stack that somebody else has made by now is not ours to make, nor to take away if that fails."""
    stack = find_stack(aws, change.stack_name)
    if stack is None or stack.status != "REVIEW_IN_PROGRESS":
        raise _interfered(AwsError("", code="InvalidChangeSetStatus", message="It exists by now."))


def _take_away(aws: Aws, change: ChangeSet, on_event: OnEvent) -> None:
    """What CloudFormation rolled back is an empty shell that stands in the way of the next attempt."""
    stack = find_stack(aws, change.stack_id)
    if stack is None or stack.status not in REMAINS:
        return
    after = last_event_id(aws, change.stack_id)
    delete_stack(aws, change.stack_id)
    try:
        wait_for_stack(aws, change.stack_id, until=DELETED, within_s=WITHIN_S, on_event=on_event, after=after)
    except AwsError as error:
        raise stack_error(stack, list_events(aws, change.stack_id)) from error


def _wait_for_change_set(aws: Aws, stack: str, name: str) -> DescribeChangeSetOutputTypeDef:
    began = aws.now()
    while True:
        found = aws.cloudformation.describe_change_set(StackName=stack, ChangeSetName=name)
        if found["Status"] in {"CREATE_COMPLETE", "FAILED"}:
            return found
        if (aws.now() - began).total_seconds() >= _CHANGE_SET_WITHIN_S:
            raise AwsError(
                f"CloudFormation did not work out the change of {stack} within {_CHANGE_SET_WITHIN_S:.0f} s.",
                hint="Nothing was changed. Repeat the command.",
            )
        aws.sleep(_POLL_S)


def _changes(aws: Aws, stack: str, name: str, found: DescribeChangeSetOutputTypeDef) -> list[StackChange]:
    changes = list(found.get("Changes", []))
    while found.get("NextToken"):
        found = aws.cloudformation.describe_change_set(
            StackName=stack, ChangeSetName=name, NextToken=found["NextToken"]
        )
        changes += found.get("Changes", [])
    return [_change(one) for one in changes]


def _change(found: ChangeTypeDef) -> StackChange:
    one = found["ResourceChange"]
    return StackChange(
        action=one["Action"],
        logical_id=one["LogicalResourceId"],
        type=one["ResourceType"],
        replaced=one.get("Replacement", "False") != "False",
    )


def _delete_change_set(aws: Aws, stack: str, name: str) -> None:
    try:
        aws.cloudformation.delete_change_set(StackName=stack, ChangeSetName=name)
    except AwsError as error:
        if not is_missing(error) and error.code not in _OVERTAKEN:
            raise


def _interfered(error: AwsError) -> AwsError:
    if error.code in _OVERTAKEN or (error.code == "ValidationError" and "_IN_PROGRESS" in error.message):
        return AwsError(
            "Somebody else is changing the base stack just now.",
            why=error.message,
            hint="Wait until they have finished, and repeat the command.",
            code=INTERFERED,
            message=error.message,
        )
    return error

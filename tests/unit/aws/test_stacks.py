"""Following a stack: by its events, with patience, to the end that was waited for or the first failure."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dayfly.aws.client import Aws
from dayfly.aws.stacks import (
    CREATED,
    DELETED,
    FAILED,
    TIMED_OUT,
    UPDATED,
    StackEvent,
    first_failure,
    wait_for_stack,
)
from dayfly.errors import AwsError
from tests.unit.aws.stubbed import NOW, StubbedAws, stubbed_aws

STACK = "arn:aws:cloudformation:eu-central-1:123456789012:stack/dayfly-demo--x/1"
GONE = f"Stack [{STACK}] does not exist"


@pytest.fixture
def stub() -> Iterator[StubbedAws]:
    with stubbed_aws() as stubbed:
        yield stubbed


def clocked(stub: StubbedAws) -> tuple[Aws, list[float]]:
    """The AWS whose clock goes on by sleeping, and how long it slept each time."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        stub.clock.pass_by(timedelta(seconds=seconds))

    return replace(stub.aws, sleep=sleep), slept


def event(number: int, status: str, resource: str = "", reason: str = "") -> dict[str, Any]:
    return {
        "StackId": STACK,
        "EventId": str(number),
        "StackName": "dayfly-demo--x",
        "LogicalResourceId": resource or "dayfly-demo--x",
        "PhysicalResourceId": f"id-{resource}" if resource else STACK,
        "ResourceType": "AWS::EC2::Instance" if resource else "AWS::CloudFormation::Stack",
        "Timestamp": NOW,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def tell(stub: StubbedAws, *events: dict[str, Any]) -> None:
    """All events so far, newest first, as AWS has them."""
    stub.answer("cloudformation", "describe_stack_events", {"StackEvents": list(reversed(events))})


def stand(stub: StubbedAws, status: str) -> None:
    stack = {"StackId": STACK, "StackName": "dayfly-demo--x", "CreationTime": NOW, "StackStatus": status}
    stub.answer("cloudformation", "describe_stacks", {"Stacks": [stack]})


def test_events_are_told_once_and_in_order_until_the_stack_is_there(stub: StubbedAws) -> None:
    events = [
        event(1, "CREATE_IN_PROGRESS"),
        event(2, "CREATE_IN_PROGRESS", "Instance"),
        event(3, "CREATE_COMPLETE", "Instance"),
        event(4, "CREATE_COMPLETE"),
    ]
    for seen in (2, 2, 4):
        tell(stub, *events[:seen])
    stand(stub, "CREATE_COMPLETE")
    aws, _ = clocked(stub)
    told: list[str] = []
    found = wait_for_stack(
        aws, STACK, until=CREATED, within_s=60, on_event=lambda one: told.append(one.event_id)
    )
    assert found.status == "CREATE_COMPLETE"
    assert told == ["1", "2", "3", "4"]


def test_while_nothing_happens_aws_is_asked_less_and_less_and_never_twice_a_second(stub: StubbedAws) -> None:
    begun = event(1, "CREATE_IN_PROGRESS")
    for _ in range(6):
        tell(stub, begun)
    tell(stub, begun, event(2, "CREATE_COMPLETE"))
    stand(stub, "CREATE_COMPLETE")
    aws, slept = clocked(stub)
    wait_for_stack(aws, STACK, until=CREATED, within_s=60)
    assert slept[0] >= 1
    assert slept == sorted(slept)
    assert slept[-1] == 5


def test_what_happened_before_does_not_count(stub: StubbedAws) -> None:
    """An update of a stack whose last event is that it was created."""
    created = event(1, "CREATE_COMPLETE")
    tell(stub, created)
    tell(stub, created, event(2, "UPDATE_IN_PROGRESS"), event(3, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"))
    tell(
        stub,
        created,
        event(2, "UPDATE_IN_PROGRESS"),
        event(3, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        event(4, "UPDATE_COMPLETE"),
    )
    stand(stub, "UPDATE_COMPLETE")
    aws, _ = clocked(stub)
    assert wait_for_stack(aws, STACK, until=UPDATED, within_s=60, after="1").status == "UPDATE_COMPLETE"


def test_a_failure_is_explained_by_the_resource_that_failed_first(stub: StubbedAws) -> None:
    tell(
        stub,
        event(1, "CREATE_IN_PROGRESS"),
        event(2, "CREATE_FAILED", "Group", "Resource creation cancelled"),
        event(3, "CREATE_FAILED", "Instance", "We currently do not have sufficient m7i.large capacity"),
        event(4, "DELETE_COMPLETE"),
    )
    stand(stub, "DELETE_COMPLETE")
    aws, _ = clocked(stub)
    with pytest.raises(AwsError) as caught:
        wait_for_stack(aws, STACK, until=CREATED, within_s=60)
    assert (caught.value.code, caught.value.operation) == (FAILED, "DELETE_COMPLETE")
    assert caught.value.why.startswith("Instance (AWS::EC2::Instance): We currently do not have")
    assert "dayfly-demo--x" in caught.value.what


def test_waiting_is_bounded_and_says_what_it_waited_for(stub: StubbedAws) -> None:
    for _ in range(6):
        tell(stub, event(1, "CREATE_IN_PROGRESS"), event(2, "CREATE_IN_PROGRESS", "Instance"))
    aws, _ = clocked(stub)
    with pytest.raises(AwsError) as caught:
        wait_for_stack(aws, STACK, until=CREATED, within_s=10)
    assert caught.value.code == TIMED_OUT
    assert caught.value.why == "It waits for Instance."


def test_a_stack_that_aws_does_not_know_any_more_is_deleted(stub: StubbedAws) -> None:
    stub.refuse("cloudformation", "describe_stack_events", "ValidationError", GONE)
    stub.refuse("cloudformation", "describe_stacks", "ValidationError", GONE)
    aws, _ = clocked(stub)
    assert wait_for_stack(aws, STACK, until=DELETED, within_s=60).status == "DELETE_COMPLETE"


def test_a_stack_that_was_gone_before_is_not_waited_for(stub: StubbedAws) -> None:
    tell(stub, event(1, "DELETE_COMPLETE"))
    stand(stub, "DELETE_COMPLETE")
    aws, slept = clocked(stub)
    assert wait_for_stack(aws, STACK, until=DELETED, within_s=60, after="1").status == "DELETE_COMPLETE"
    assert slept == []


def test_another_error_of_aws_is_not_taken_for_an_end(stub: StubbedAws) -> None:
    stub.refuse("cloudformation", "describe_stack_events", "AccessDenied")
    aws, _ = clocked(stub)
    with pytest.raises(AwsError) as caught:
        wait_for_stack(aws, STACK, until=DELETED, within_s=60)
    assert caught.value.code == "AccessDenied"


def one_event(status: str, resource: str, reason: str = "") -> StackEvent:
    return StackEvent(
        event_id="1",
        at=NOW,
        stack_id=STACK,
        logical_id=resource,
        physical_id=STACK if resource == "stack" else resource,
        type="T",
        status=status,
        reason=reason,
    )


def test_the_stacks_own_failure_counts_where_no_resource_failed() -> None:
    own = one_event("CREATE_FAILED", "stack", "Template error")
    assert first_failure([one_event("CREATE_COMPLETE", "A"), own]) == own
    assert first_failure([]) is None

"""Making a machine when AWS answers late, twice, wrongly or not at all: one machine, and none that nobody
knows of. The calls are AWS's own by its model; the answers are values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dayfly.aws.client import Aws
from dayfly.aws.machine import NO_CAPACITY, UNWATCHED, apply_machine, check_values, lacks_capacity
from dayfly.errors import AwsError, UsageError
from dayfly.runs.machine import MachineRecord
from tests.unit.aws.stubbed import NOW, StubbedAws, stubbed_aws
from tests.unit.aws.test_machine import make_plan, make_run_parameters
from tests.unit.support import RUN_ID

NAME = f"dayfly-demo--{RUN_ID}"
LACKING = "We currently do not have sufficient m7i.large capacity in the Availability Zone you requested"


@pytest.fixture
def stub() -> Iterator[StubbedAws]:
    with stubbed_aws() as stubbed:
        yield stubbed


def asleep(stub: StubbedAws) -> Aws:
    """The AWS whose clock goes on by sleeping."""
    return replace(stub.aws, sleep=lambda seconds: stub.clock.pass_by(timedelta(seconds=seconds)))


def stack_id(attempt: int = 1) -> str:
    name = NAME if attempt == 1 else f"{NAME}-{attempt}"
    return f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{name}/{attempt}"


def armed(stub: StubbedAws) -> None:
    stub.answer(
        "scheduler", "create_schedule", {"ScheduleArn": "arn:aws:scheduler:eu-central-1:1:schedule/a/b"}
    )


def made(stub: StubbedAws, attempt: int = 1) -> None:
    stub.answer("cloudformation", "create_stack", {"StackId": stack_id(attempt)})


def stands(stub: StubbedAws, status: str, attempt: int = 1, *, run: str = RUN_ID) -> None:
    found = {
        "StackId": stack_id(attempt),
        "StackName": stack_id(attempt).split("/")[1],
        "CreationTime": NOW,
        "StackStatus": status,
        "Tags": [{"Key": "dayfly:run", "Value": run}],
    }
    stub.answer("cloudformation", "describe_stacks", {"Stacks": [found]})


def happens(stub: StubbedAws, status: str, attempt: int = 1, *, failed: str = "") -> None:
    """The stack's events: its status, and before it a failed instance."""

    def event(number: int, physical: str, status: str, reason: str = "") -> dict[str, Any]:
        return {
            "StackId": stack_id(attempt),
            "EventId": str(number),
            "StackName": NAME,
            "LogicalResourceId": "Instance",
            "PhysicalResourceId": physical,
            "Timestamp": NOW,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
        }

    events = [event(2, stack_id(attempt), status)]
    if failed:
        events.append(event(1, "i-0", "CREATE_FAILED", failed))
    stub.answer("cloudformation", "describe_stack_events", {"StackEvents": events})


def apply(stub: StubbedAws, **more: Any) -> tuple[MachineRecord, list[MachineRecord]]:
    told: list[MachineRecord] = []
    plan = make_plan(work=make_run_parameters())
    return apply_machine(asleep(stub), plan, on_record=told.append, **more), told


@pytest.mark.parametrize("code", ["AlreadyExistsException", "TokenAlreadyExistsException"])
def test_a_stack_that_an_earlier_try_has_made_is_this_machines(stub: StubbedAws, code: str) -> None:
    """The client was killed after CreateStack, before it wrote down that it had."""
    armed(stub)
    stub.refuse("cloudformation", "create_stack", code, f"Stack [{NAME}] already exists")
    stands(stub, "CREATE_IN_PROGRESS")
    happens(stub, "CREATE_COMPLETE")
    stands(stub, "CREATE_COMPLETE")
    record, told = apply(stub)
    assert (record.stack_id, told) == (stack_id(), [record])


def test_a_stack_of_that_name_that_is_another_runs_is_not_taken(stub: StubbedAws) -> None:
    armed(stub)
    stub.refuse("cloudformation", "create_stack", "AlreadyExistsException")
    stands(stub, "CREATE_COMPLETE", run="20261123-000000-other-0000")
    with pytest.raises(AwsError) as caught:
        apply(stub)
    assert caught.value.code == "AlreadyExistsException"


def test_a_stack_whose_creation_was_never_answered_is_found_by_its_name(stub: StubbedAws) -> None:
    armed(stub)
    stub.refuse("cloudformation", "create_stack", "ServiceUnavailable")
    stands(stub, "CREATE_IN_PROGRESS")
    happens(stub, "CREATE_COMPLETE")
    stands(stub, "CREATE_COMPLETE")
    assert apply(stub)[0].stack_id == stack_id()


def test_a_creation_that_was_not_done_is_told_as_what_it_is(stub: StubbedAws) -> None:
    armed(stub)
    stub.refuse("cloudformation", "create_stack", "ServiceUnavailable", "later")
    stub.refuse("cloudformation", "describe_stacks", "ValidationError", f"Stack {NAME} does not exist")
    with pytest.raises(AwsError) as caught:
        apply(stub)
    assert caught.value.code == "ServiceUnavailable"


@pytest.mark.parametrize("code", ["Throttling", "ServiceUnavailable", "EndpointConnectionError"])
def test_a_stack_is_waited_for_through_a_time_in_which_aws_does_not_answer(
    stub: StubbedAws, code: str
) -> None:
    armed(stub)
    made(stub)
    for _ in range(3):
        stub.refuse("cloudformation", "describe_stack_events", code)
    happens(stub, "CREATE_COMPLETE")
    stub.refuse("cloudformation", "describe_stacks", code)
    stub.answer("cloudformation", "describe_stack_events", {"StackEvents": []})
    stands(stub, "CREATE_COMPLETE")
    assert apply(stub)[0].stack_id == stack_id()


def test_credentials_that_expire_meanwhile_do_not_make_the_machine_a_failure(stub: StubbedAws) -> None:
    armed(stub)
    made(stub)
    stub.refuse("cloudformation", "describe_stack_events", "ExpiredToken", "expired")
    with pytest.raises(AwsError) as caught:
        apply(stub)
    error = caught.value
    assert error.code == UNWATCHED
    assert "session has expired" in error.what
    for words in ("aws sso login", f"dayfly stop {RUN_ID}", "2026-11-23T13:00:00Z"):
        assert words in error.hint


def test_a_machine_that_is_late_goes_on(stub: StubbedAws) -> None:
    armed(stub)
    made(stub)
    happens(stub, "CREATE_IN_PROGRESS")
    for _ in range(130):
        stub.answer("cloudformation", "describe_stack_events", {"StackEvents": []})
    told: list[MachineRecord] = []
    with pytest.raises(AwsError) as caught:
        apply_machine(asleep(stub), make_plan(work=make_run_parameters()), on_record=told.append)
    assert caught.value.code == UNWATCHED
    stub.stubbers.clear()  # it has not asked so often


def test_a_schedule_that_may_not_be_removed_does_not_keep_the_next_zone_from_being_tried(
    stub: StubbedAws,
) -> None:
    armed(stub)
    made(stub)
    happens(stub, "DELETE_COMPLETE", failed=LACKING)
    stands(stub, "DELETE_COMPLETE")
    stub.refuse("scheduler", "delete_schedule", "AccessDeniedException")
    armed(stub)
    made(stub, 2)
    happens(stub, "CREATE_COMPLETE", 2)
    stands(stub, "CREATE_COMPLETE", 2)
    record, told = apply(stub)
    assert ([one.attempt for one in told], record.subnet) == ([1, 2], "subnet-0b")


def test_what_was_cut_off_goes_on_in_the_zone_where_it_was(stub: StubbedAws) -> None:
    armed(stub)
    made(stub, 2)
    happens(stub, "DELETE_COMPLETE", 2, failed=LACKING)
    stands(stub, "DELETE_COMPLETE", 2)
    stub.answer("scheduler", "delete_schedule", {})
    with pytest.raises(AwsError) as caught:
        apply(stub, first=2)
    assert caught.value.code == NO_CAPACITY


@pytest.mark.parametrize(
    "said",
    [
        "User: arn:aws:iam::1:user/ada has insufficient permissions to call ec2:RunInstances",
        "You do not have sufficient permissions to access the specified resource.",
        "Max spot instance count exceeded",
        "MaxSpotInstanceCountExceeded",
        "Insufficient privileges",
        "The instance configuration for this AWS Marketplace product is not supported",
    ],
)
def test_what_no_other_zone_would_mend_leads_to_no_other_zone(said: str) -> None:
    assert not lacks_capacity(said)


@pytest.mark.parametrize(
    "said",
    [
        "InsufficientInstanceCapacity",
        "Insufficient instance capacity in this zone.",
        "InsufficientFreeAddressesInSubnet: Not enough free addresses in subnet subnet-0a",
        f'Resource handler returned message: "{LACKING} (us-east-1a). Our system ..." (Service: Ec2)',
    ],
)
def test_what_another_zone_may_mend_leads_there(said: str) -> None:
    assert lacks_capacity(said)


@pytest.mark.parametrize("said", ["Max spot instance count exceeded", "MaxSpotInstanceCountExceeded"])
def test_a_spot_quota_is_told_as_a_quota(stub: StubbedAws, said: str) -> None:
    armed(stub)
    made(stub)
    happens(stub, "DELETE_COMPLETE", failed=said)
    stands(stub, "DELETE_COMPLETE")
    stub.answer("scheduler", "delete_schedule", {})
    with pytest.raises(AwsError, match="quota"):
        apply(stub)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"work": {"Gpus": "device=0"}}, "Gpus"),
        ({"work": {"HoldSeconds": "31536000"}}, "HoldSeconds"),
        ({"disk_gib": 20_000}, "DiskGiB"),
        ({"boot_budget_s": 0.5}, "BootBudgetSeconds"),
    ],
)
def test_a_value_that_cloudformation_would_refuse_is_refused_before_anything_is_made(
    changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        check_values(make_plan(**changed))


@pytest.mark.parametrize(
    "owner", ["Åsa Öberg", "ada\nDAYFLY_TASK=build", "a\tb", "\u202ex", "名前 'q' `w`", "x" * 500]
)
def test_whoever_asks_may_be_called_anything(owner: str) -> None:
    plan = make_plan(owner=owner)
    check_values(plan)
    assert "\n" not in plan.parameters(1)["Owner"]
    assert len(plan.tags["dayfly:owner"]) <= 256

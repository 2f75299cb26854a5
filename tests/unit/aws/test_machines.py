"""Which machines are alive, from stacks and instances as AWS lists them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from dayfly.aws.machines import NO_STACK, Machine, find_machine, join_machines
from dayfly.aws.names import machine_stack_name, machine_tags
from dayfly.aws.prices import Price
from dayfly.aws.stacks import Stack
from dayfly.errors import RunNotFoundError

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
RUN = "20261123-101502-analysis-7f3a"
BUILD = "20261123-110000-image-0b1d"


def tags(machine_id: str = RUN, task: Any = "run") -> dict[str, str]:
    return machine_tags(
        project="x", machine_id=machine_id, owner="ada", deadline=NOW + timedelta(hours=2), task=task
    )


def stack(machine_id: str = RUN, *, attempt: int = 1, **changes: Any) -> Stack:
    fields: dict[str, Any] = {
        "stack_id": f"arn:{machine_id}:{attempt}",
        "name": machine_stack_name("x", machine_id, attempt),
        "status": "CREATE_COMPLETE",
        "created": NOW,
        "parameters": {"InstanceType": "m7i.large", "DiskGiB": "30", "Spot": "true"},
        "outputs": {"InstanceId": "i-1"},
        "tags": tags(machine_id),
    }
    return Stack(**{**fields, **changes})


def instance(instance_id: str = "i-1", stack_name: str = "", **changes: Any) -> Any:
    own = [{"Key": key, "Value": value} for key, value in tags().items()]
    if stack_name:
        own.append({"Key": "aws:cloudformation:stack-name", "Value": stack_name})
    return {
        "InstanceId": instance_id,
        "InstanceType": "m7i.large",
        "State": {"Name": "running"},
        "Placement": {"AvailabilityZone": "eu-central-1a"},
        "LaunchTime": NOW,
        "PublicIpAddress": "203.0.113.7",
        "InstanceLifecycle": "spot",
        "Tags": own,
        **changes,
    }


def only(machines: list[Machine]) -> Machine:
    (machine,) = machines
    return machine


def test_a_stack_and_its_instance_are_one_machine() -> None:
    machine = only(join_machines([stack()], [instance()]))
    assert (machine.machine_id, machine.owner, machine.task) == (RUN, "ada", "run")
    assert (machine.instance_id, machine.instance_state, machine.zone) == ("i-1", "running", "eu-central-1a")
    assert (machine.address, machine.spot, machine.disk_gib) == ("203.0.113.7", True, 30)
    assert machine.deadline == NOW + timedelta(hours=2)


def test_a_stack_that_puts_nothing_out_yet_has_the_instance_that_bears_its_name() -> None:
    machine = only(
        join_machines(
            [stack(status="CREATE_IN_PROGRESS", outputs={})],
            [instance(stack_name=machine_stack_name("x", RUN))],
        )
    )
    assert machine.instance_id == "i-1"


def test_a_stack_without_an_instance_is_a_machine_that_begins_or_ends() -> None:
    machine = only(join_machines([stack(status="DELETE_FAILED", reason="in use")], []))
    assert (machine.status, machine.reason, machine.instance_state) == ("DELETE_FAILED", "in use", "")
    assert (machine.instance_type, machine.spot) == ("m7i.large", True)


def test_an_instance_without_a_stack_is_a_machine_too() -> None:
    machine = only(join_machines([], [instance()]))
    assert (machine.machine_id, machine.status, machine.stack_id) == (RUN, NO_STACK, "")


def test_stacks_that_are_no_machines_are_none() -> None:
    base = stack(name="dayfly-x", tags={"dayfly:project": "x"}, outputs={})
    assert join_machines([base, stack(status="DELETE_COMPLETE")], []) == []


@pytest.mark.parametrize(("attempt", "schedule"), [(1, RUN), (2, f"{RUN}-2")])
def test_the_schedule_of_each_attempt_is_known_by_its_stack(attempt: int, schedule: str) -> None:
    assert only(join_machines([stack(attempt=attempt)], [])).schedule == schedule


def test_tags_that_somebody_changed_are_no_error() -> None:
    machine = only(join_machines([], [instance(Tags=[{"Key": "dayfly:run", "Value": ""}])]))
    assert (machine.deadline, machine.project) == (None, "")


def test_a_cost_is_that_since_it_was_made() -> None:
    machine = only(join_machines([stack()], []))
    assert machine.cost(NOW) is None
    priced = Machine(
        **{**vars(machine), "price": Price(per_hour=Decimal("0.5"), at=NOW)},
    )
    assert priced.cost(NOW + timedelta(hours=3)) == Decimal("1.5")


def test_past_its_deadline_it_is_overdue() -> None:
    machine = only(join_machines([stack()], []))
    assert [machine.overdue(NOW + timedelta(hours=hours)) for hours in (1, 3)] == [False, True]


class TestFinding:
    machines = join_machines(
        [stack(), stack(attempt=2, created=NOW + timedelta(minutes=1)), stack(BUILD, tags=tags(BUILD))], []
    )

    def test_an_id_or_the_beginning_of_one_names_it(self) -> None:
        for name in (BUILD, BUILD[:12]):
            found = find_machine(self.machines, name)
            assert found is not None
            assert found.machine_id == BUILD

    def test_of_two_attempts_the_first_listed_is_meant(self) -> None:
        assert find_machine(self.machines, RUN) is self.machines[0]

    @pytest.mark.parametrize("name", ["", "x"])
    def test_any_other_names_none(self, name: str) -> None:
        assert find_machine(self.machines, name) is None

    def test_the_beginning_of_two_says_which(self) -> None:
        with pytest.raises(RunNotFoundError, match="2 machines begin with '2026'") as caught:
            find_machine(self.machines, "2026")
        assert RUN in caught.value.why
        assert BUILD in caught.value.why


def test_no_pricing_call_is_made_without_machines() -> None:
    from dayfly.aws.machines import with_prices

    assert with_prices(cast("Any", None), cast("Any", None), []) == []

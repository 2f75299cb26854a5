from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from dayfly.aws.client import Aws
from dayfly.aws.tasks import TaskPlace, TaskResult, follow_task
from dayfly.errors import AwsError
from dayfly.runs.follow import Pace
from dayfly.runs.machine import MachineRecord
from dayfly.runs.store import Store, open_store
from tests.unit.aws.ecr_fakes import NOW

PREFIX = "builds/20261123-101502-build-7f3a"
PACE = Pace(shortest_s=1.0, longest_s=5.0, a_request_s=1.0, ask_after_s=15.0)


@dataclass
class FakeStacks:
    """One stack, of which only the status changes."""

    status: str = "CREATE_COMPLETE"

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        return {
            "Stacks": [
                {"StackId": StackName, "StackName": "s", "StackStatus": self.status, "CreationTime": NOW}
            ]
        }


@dataclass
class Machine:
    """A machine that does something each time somebody waits for it, and the AWS that has it."""

    store: Store
    does: list[Callable[[], None]] = field(default_factory=list)
    stacks: FakeStacks = field(default_factory=FakeStacks)
    now: datetime = NOW
    waited: list[float] = field(default_factory=list)
    told: bytes = b""

    def aws(self) -> Aws:
        return Aws(
            session=boto3.Session(region_name="eu-west-1"),
            region="eu-west-1",
            now=lambda: self.now,
            sleep=self._sleep,
            _clients={("cloudformation", "eu-west-1"): self.stacks},
        )

    def place(self) -> TaskPlace:
        record = MachineRecord(
            machine_id="m", stack_name="s", stack_id="s", schedule="m", subnet="subnet-1", created=NOW
        )
        place = TaskPlace(store=self.store, prefix=PREFIX, deadline=NOW + timedelta(hours=1))
        self.store.put(place.key("machine.json"), record.to_bytes())
        return place

    def tell(self, **line: object) -> None:
        data = json.dumps(line).encode() + b"\n"
        self.store.put(f"{PREFIX}/machine/{len(self.told):012d}.jsonl", data)
        self.told += data

    def write(self, start: int, text: bytes) -> None:
        self.store.put(f"{PREFIX}/log/{start:012d}.txt", text)

    def end(self, **fields: str) -> None:
        self.store.put(f"{PREFIX}/result.json", TaskResult(**fields).to_bytes())

    def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += timedelta(seconds=seconds)
        if self.does:
            self.does.pop(0)()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(store=open_store(tmp_path / "store"))


def test_steps_and_text_come_as_they_are_told_until_the_goodbye(machine: Machine) -> None:
    machine.does = [
        lambda: machine.tell(type="step", step="armed"),
        lambda: machine.write(0, b"Step 1/2\nSte"),
        lambda: machine.write(12, b"p 2/2\n"),
        lambda: machine.tell(type="step", step="goodbye"),
    ]
    told = list(follow_task(machine.aws(), machine.place(), pace=PACE))
    assert [one.get("step") or one["text"] for one in told] == ["armed", "Step 1/2", "Step 2/2", "goodbye"]


def test_it_is_asked_once_a_second_at_most(machine: Machine) -> None:
    """Two listings and what they read: the wait after a look is as many seconds."""
    machine.does = [lambda: machine.tell(type="step", step="goodbye")]
    list(follow_task(machine.aws(), machine.place(), pace=PACE))
    assert machine.waited == [2.0]


def test_a_machine_that_is_silent_is_asked_for_its_result(machine: Machine) -> None:
    machine.end(state="failed", message="no")
    assert list(follow_task(machine.aws(), machine.place(), pace=PACE)) == []
    assert machine.place().result() == TaskResult(state="failed", message="no")


@pytest.mark.parametrize("status", ["DELETE_COMPLETE", "DELETE_IN_PROGRESS", "CREATE_FAILED"])
def test_a_machine_that_is_gone_without_a_result_is_told(machine: Machine, status: str) -> None:
    machine.stacks.status = status
    with pytest.raises(AwsError, match="is gone, and has left no result") as caught:
        list(follow_task(machine.aws(), machine.place(), pace=PACE))
    assert status in caught.value.why


def test_a_machine_is_not_waited_for_beyond_its_deadline(machine: Machine) -> None:
    with pytest.raises(AwsError, match="has passed its deadline"):
        list(follow_task(machine.aws(), machine.place(), pace=PACE))
    assert machine.now < NOW + timedelta(hours=1, minutes=6)


def test_a_line_that_is_cut_off_waits_for_its_end_and_a_damaged_one_says_nothing(machine: Machine) -> None:
    first = b'{"type": "step", "st'
    machine.store.put(f"{PREFIX}/machine/000000000000.jsonl", b"{broken\n[1]\n" + first)
    start = len(b"{broken\n[1]\n" + first)
    machine.does = [
        lambda: machine.store.put(f"{PREFIX}/machine/{start:012d}.jsonl", b'ep": "goodbye"}\n'),
    ]
    told = list(follow_task(machine.aws(), machine.place(), pace=PACE))
    assert told == [{"type": "step", "step": "goodbye"}]

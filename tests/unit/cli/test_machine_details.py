"""What `dayfly show` says of a run's machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from obstore.store import MemoryStore

from dayfly.aws.client import Aws
from dayfly.aws.machine_facts import MachineFacts, load_machine_facts
from dayfly.aws.teardown import MachineEnd, Teardown
from dayfly.cli.details import print_details, to_json
from dayfly.cli.machine_details import (
    describe_end,
    machine_commands,
    print_machine_failure,
)
from dayfly.cli.text import describe_deadline
from dayfly.errors import AwsError, StoreError
from dayfly.runs import layout
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Entry, Store, open_store
from tests.unit.machine_runs import MachineRun, after, record, source, stack_event
from tests.unit.support import NOW, RUN_ID, make_result, put_run

FAILED = {
    "type": "failed",
    "step": "docker",
    "line": 97,
    "command": "dnf install docker",
    "reason": "boot_failed",
    "message": "No match for argument: docker\nError: Unable to find a match\x1b[2J",
}


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


@pytest.fixture
def told(store: Store) -> MachineRun:
    return MachineRun(store=store).create(State.NEVER_STARTED).make()


def no_aws() -> Aws:
    raise AwsError("There are no AWS credentials.")


def facts(teardown: Teardown = Teardown.ALIVE, **changes: Any) -> MachineFacts:
    fields: dict[str, Any] = {"source": source(), "record": record(), "end": MachineEnd(teardown=teardown)}
    return MachineFacts(**{**fields, **changes})


def test_without_credentials_the_end_is_unknown_and_all_else_is_told(
    store: Store, told: MachineRun, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(layout.run_key(RUN_ID, layout.MACHINE_LOG), b"the boot log")
    told.tell(FAILED)
    print_details(Run(RUN_ID, store), no_aws)
    shown = capsys.readouterr().out
    for words in (
        "machine    m7i.2xlarge (x86_64, 30 GiB disk) in eu-central-1, of ada",
        "price      $0.4832/h with disk and address, looked up ",
        f"stack      dayfly-analysis--{RUN_ID}",
        "unknown: There are no AWS credentials.",
        f"/runs/{RUN_ID}/machine.log",
        "boot       boot failed at the step docker, line 97 of the boot script: dnf install docker",
        "           Error: Unable to find a match\n",
        "why        It was requested, and no runner ever took it up.",
        f"dayfly rerun {RUN_ID}",
    ):
        assert words in shown
    assert "\x1b[2J" not in shown


def test_json_has_the_machine(store: Store, told: MachineRun) -> None:
    found = to_json(Run(RUN_ID, store), no_aws)["machine"]
    assert found["source"]["instance_type"] == "m7i.2xlarge"
    assert found["record"]["stack_name"] == f"dayfly-analysis--{RUN_ID}"
    assert (found["teardown"], found["failed"], found["cost_so_far"]) == ("unknown", None, None)


@pytest.mark.parametrize(
    ("said", "teardown", "told"),
    [
        (State.RUNNING, Teardown.DONE, State.LOST),
        (State.SAVING, Teardown.DONE, State.LOST),
        (State.PROVISIONING, Teardown.DONE, State.NEVER_STARTED),
        (State.PULLING, Teardown.DONE, State.NEVER_STARTED),
        (State.SUCCEEDED, Teardown.DONE, State.SUCCEEDED),
        (State.RUNNING, Teardown.PENDING, State.RUNNING),
        (State.RUNNING, Teardown.UNKNOWN, State.RUNNING),
        (None, Teardown.DONE, None),
    ],
)
def test_a_run_whose_machine_is_known_to_be_gone_goes_on_no_more(
    said: State | None, teardown: Teardown, told: State | None
) -> None:
    assert facts(teardown).true_state(said) is told


def test_a_run_whose_runner_had_said_something_was_lost_however_early_its_machine_went() -> None:
    assert facts(Teardown.DONE, begun=True).true_state(State.BOOTING) is State.LOST


class Gone:
    """CloudFormation, which has deleted the stack."""

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        raise AwsError("gone", code="ValidationError", message=f"Stack {StackName} does not exist")

    def get_paginator(self, _: str) -> Gone:
        return self

    def paginate(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803
        raise AwsError("gone", code="ValidationError", message=f"Stack {StackName} does not exist")


class EventsUnread(Store):
    """A store in which the run's events cannot be listed."""

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[Entry]:
        if prefix.endswith(layout.EVENTS):
            raise StoreError("The store is down.")
        return super().list(prefix, after=after)


def test_an_end_that_is_known_stays_so_when_the_store_cannot_tell_whether_it_had_begun() -> None:
    store = EventsUnread(objects=MemoryStore(), url="memory://")
    MachineRun(store=store).create(State.BOOTING).make()
    session = boto3.Session(region_name="eu-central-1")
    aws = Aws(session=session, region="eu-central-1", _clients={("cloudformation", "eu-central-1"): Gone()})
    found = load_machine_facts(Run(RUN_ID, store), State.BOOTING, lambda: aws)
    assert found is not None
    assert (found.end.teardown, found.begun) == (Teardown.DONE, False)


def test_a_result_that_was_carried_is_the_end_whatever_the_last_beat_said(store: Store) -> None:
    MachineRun(store=store).create(State.SAVING).make()
    store.put(layout.run_key(RUN_ID, layout.RESULT), make_result().to_bytes())
    assert to_json(Run(RUN_ID, store), no_aws)["state"] is State.SUCCEEDED


def test_a_run_without_a_machine_asks_nobody(store: Store) -> None:
    put_run(store)
    assert load_machine_facts(Run(RUN_ID, store), State.SUCCEEDED, no_aws) is None


def test_a_machine_that_was_never_made_is_said_to_be(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    MachineRun(store=store).create(State.NEVER_STARTED)
    print_details(Run(RUN_ID, store), no_aws)
    assert "Its stack was never made" in capsys.readouterr().out


def test_the_first_failure_of_the_stack_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    cause = stack_event("CREATE_FAILED", 9, of="Instance", reason="Insufficient capacity.")
    print_machine_failure(facts(cause=cause))
    assert capsys.readouterr().out == "AWS        Instance (AWS::EC2::Instance): Insufficient capacity.\n"


def test_a_cost_is_from_the_stacks_creation_by_the_price_of_the_plan() -> None:
    cost = facts().cost(after(2 + 3600))
    assert cost is not None
    assert f"{cost:.4f}" == "0.4832"
    assert facts(source=source(price_per_hour=None)).cost(NOW) is None
    assert facts(record=None).cost(NOW) is None


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (MachineEnd(teardown=Teardown.ALIVE, status="CREATE_COMPLETE"), "alive (CREATE_COMPLETE)"),
        (
            MachineEnd(teardown=Teardown.PENDING, status="DELETE_IN_PROGRESS"),
            "being deleted (DELETE_IN_PROGRESS)",
        ),
        (MachineEnd(teardown=Teardown.DONE), "deleted: nothing of the machine is left"),
        (
            MachineEnd(teardown=Teardown.STUCK, status="DELETE_FAILED", why="SecurityGroup: in use"),
            "stuck (DELETE_FAILED): SecurityGroup: in use",
        ),
        (
            MachineEnd(teardown=Teardown.UNKNOWN, why="AWS cannot be reached."),
            "unknown: AWS cannot be reached.",
        ),
    ],
)
def test_where_the_end_is_is_a_sentence(end: MachineEnd, words: str) -> None:
    assert describe_end(end) == words


@pytest.mark.parametrize(
    ("teardown", "state", "commands"),
    [
        (Teardown.STUCK, State.SUCCEEDED, ["stop --now"]),
        (Teardown.ALIVE, State.FAILED, ["ssh", "stop --now"]),
        (Teardown.ALIVE, State.SUCCEEDED, []),
        (Teardown.DONE, State.FAILED, []),
    ],
)
def test_a_machine_that_is_left_is_to_be_ended(teardown: Teardown, state: State, commands: list[str]) -> None:
    assert machine_commands(facts(teardown), state) == commands


def test_a_deadline_is_absolute_and_relative() -> None:
    assert describe_deadline(after(7200), NOW).endswith("(in 2h 00m)")
    assert describe_deadline(after(-90), NOW).endswith("(1m 30s ago)")
    assert f"{after(7200).astimezone():%Y-%m-%d %H:%M:%S}" in describe_deadline(after(7200), NOW)

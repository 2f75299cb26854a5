"""The machine of a run in the store: made once, taken up where it was cut off, and never told dead alive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from dayfly.aws.client import Aws
from dayfly.aws.machine import UNWATCHED
from dayfly.backends.ec2 import TOO_LATE, settle_interrupted, start_ec2
from dayfly.backends.ec2_target import Ec2Target
from dayfly.errors import AwsError
from dayfly.runs import layout
from dayfly.runs.machine import MachineRecord
from dayfly.runs.model import parse_model
from dayfly.runs.request import ContainerUser, ImageSource, Request, SnapshotSource
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store, open_store
from tests.unit.aws.stubbed import NOW, StubbedAws, stubbed_aws
from tests.unit.aws.test_machine import DIGEST, make_base
from tests.unit.aws.test_machine_made import LACKING, armed, happens, made, stack_id, stands
from tests.unit.machine_runs import source
from tests.unit.support import RUN_ID, make_request, make_result

DEADLINE = NOW + timedelta(hours=3)


@pytest.fixture
def stub() -> Iterator[StubbedAws]:
    with stubbed_aws() as stubbed:
        yield stubbed


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def asked(store: Store, *, state: State = State.PROVISIONING) -> Request:
    """A run that is in the store, as its submission leaves it before it asks for a machine."""
    request = make_request(
        backend="ec2",
        snapshot=SnapshotSource(commit="c" * 40, tree="d" * 40, checkout="/dayfly/project"),
        image=ImageSource(
            tag="repo:tag",
            id=f"repo@{DIGEST}",
            key="k",
            platform="linux/amd64",
            user=ContainerUser(uid=1000, gid=100, name="jovyan", home="/home/jovyan"),
        ),
        machine=source(instance_type="m7i.large", deadline=DEADLINE),
    )
    store.put(layout.run_key(RUN_ID, layout.REQUEST), request.to_bytes())
    put_status(store, RUN_ID, state, NOW)
    return request


def target(stub: StubbedAws, store: Store) -> Ec2Target:
    aws: Aws = replace(stub.aws, sleep=lambda seconds: stub.clock.pass_by(timedelta(seconds=seconds)))
    hardware: Any = SimpleNamespace(
        ami=SimpleNamespace(root_device="/dev/xvda"), subnet_ids=("subnet-0a", "subnet-0b")
    )
    return Ec2Target(
        aws=aws,
        base=make_base(),
        store=store,
        hardware=hardware,
        access=False,
        boot_budget_s=900,
        timeout_s=3600,
        grace_s=10,
        hold_s=0,
        owner="ada",
        ssh_cidr="",
        notify="",
        mirror="",
    )


def put_record(store: Store, attempt: int = 1) -> None:
    record = MachineRecord(
        machine_id=RUN_ID,
        stack_name=stack_id(attempt).split("/")[1],
        stack_id=stack_id(attempt),
        schedule=RUN_ID,
        attempt=attempt,
        subnet="subnet-0a",
        created=NOW,
    )
    store.put(layout.run_key(RUN_ID, layout.MACHINE_RECORD), record.to_bytes())


def recorded(store: Store) -> MachineRecord:
    content = store.get(layout.run_key(RUN_ID, layout.MACHINE_RECORD))
    return parse_model(MachineRecord, content or b"", layout.MACHINE_RECORD)


def test_a_stack_that_was_made_before_the_submission_was_cut_off_is_the_runs(
    stub: StubbedAws, store: Store
) -> None:
    armed(stub)
    stub.refuse("cloudformation", "create_stack", "AlreadyExistsException")
    stands(stub, "CREATE_IN_PROGRESS")
    happens(stub, "CREATE_COMPLETE")
    stands(stub, "CREATE_COMPLETE")
    start_ec2(store, asked(store), target(stub, store))
    assert recorded(store).stack_id == stack_id()
    assert Run(RUN_ID, store).result is None


def test_a_run_whose_machine_cannot_be_seen_any_more_has_not_failed(stub: StubbedAws, store: Store) -> None:
    """The credentials expire, or the network goes, while the stack is made: the machine runs."""
    armed(stub)
    made(stub)
    stub.refuse("cloudformation", "describe_stack_events", "ExpiredToken")
    with pytest.raises(AwsError) as caught:
        start_ec2(store, asked(store), target(stub, store))
    assert caught.value.code == UNWATCHED
    assert Run(RUN_ID, store).result is None
    assert recorded(store).stack_id == stack_id()


def test_a_run_that_has_ended_gets_no_second_machine(stub: StubbedAws, store: Store) -> None:
    """Its token was used again, days later."""
    request = asked(store, state=State.SUCCEEDED)
    store.put(layout.run_key(RUN_ID, layout.RESULT), make_result().to_bytes())
    start_ec2(store, request, target(stub, store))


@pytest.mark.parametrize("state", [State.BOOTING, State.RUNNING])
def test_a_run_that_goes_on_gets_no_second_machine(stub: StubbedAws, store: Store, state: State) -> None:
    request = asked(store, state=state)
    put_record(store)
    start_ec2(store, request, target(stub, store))
    assert recorded(store).attempt == 1


def test_a_submission_that_was_cut_off_between_two_zones_goes_on_to_the_second(
    stub: StubbedAws, store: Store
) -> None:
    request = asked(store)
    put_record(store)
    stands(stub, "DELETE_COMPLETE")
    armed(stub)
    made(stub, 2)
    happens(stub, "CREATE_COMPLETE", 2)
    stands(stub, "CREATE_COMPLETE", 2)
    start_ec2(store, request, target(stub, store))
    assert recorded(store).attempt == 2


def test_one_that_is_taken_up_near_its_deadline_makes_no_machine(stub: StubbedAws, store: Store) -> None:
    request = asked(store)
    stub.clock.pass_by(timedelta(hours=2, minutes=50))
    with pytest.raises(AwsError) as caught:
        start_ec2(store, request, target(stub, store))
    assert caught.value.code == TOO_LATE
    result = Run(RUN_ID, store).result
    assert result is not None
    assert result.state is State.NEVER_STARTED


def test_a_next_zone_is_a_sign_of_life(stub: StubbedAws, store: Store) -> None:
    """Nobody beats before the machine does, and six zones may take longer than a run is waited for."""
    request = asked(store)
    before = next(iter(store.list(layout.STATUS))).modified
    armed(stub)
    made(stub)
    happens(stub, "DELETE_COMPLETE", failed=LACKING)
    stands(stub, "DELETE_COMPLETE")
    stub.answer("scheduler", "delete_schedule", {})
    armed(stub)
    made(stub, 2)
    happens(stub, "CREATE_COMPLETE", 2)
    stands(stub, "CREATE_COMPLETE", 2)
    start_ec2(store, request, target(stub, store))
    (entry,) = store.list(layout.STATUS)
    assert entry.modified > before


class TestInterrupted:
    """Ctrl-C while the machine is made (FAULTS 32)."""

    def test_with_a_stack_that_is_known_the_run_goes_on(self, stub: StubbedAws, store: Store) -> None:
        request = asked(store)
        put_record(store)
        assert settle_interrupted(store, request, target(stub, store))

    def test_with_a_stack_that_nobody_has_written_down_it_does_too(
        self, stub: StubbedAws, store: Store
    ) -> None:
        request = asked(store)
        stands(stub, "CREATE_IN_PROGRESS")
        assert settle_interrupted(store, request, target(stub, store))
        assert recorded(store).stack_id == stack_id()

    def test_before_there_was_one_the_run_has_never_started(self, stub: StubbedAws, store: Store) -> None:
        request = asked(store)
        stub.refuse("cloudformation", "describe_stacks", "ValidationError", "Stack x does not exist")
        assert not settle_interrupted(store, request, target(stub, store))
        assert Run(RUN_ID, store).state is State.NEVER_STARTED

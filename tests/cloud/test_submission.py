"""`dayfly run --on ec2` against the emulated AWS: what is made in which order, and what is left.

The emulator proves the calls, their order and permissions, and that nothing outlives its deadline. That AWS
takes the same templates is for its schemas (tests/unit/aws); that a machine does its work, for the rehearsal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.client import Aws
from dayfly.rehearsal.emulator import Emulator
from dayfly.runs import layout
from dayfly.runs.catalog import list_runs
from dayfly.runs.machine import MachineRecord
from dayfly.runs.model import parse_model
from dayfly.runs.request import Request
from dayfly.runs.run import Run
from dayfly.runs.state import State
from tests.cloud.stacks import base_stack
from tests.cloud.submissions import COMMAND_S, CloudProject, make_project, names
from tests.helpers import PATIENCE_S, PROGRAMS, Done, wait_for

RUN = ("run", "nb.ipynb", "--on", "ec2", "--timeout", "2h")
CALLS = 12
HALF_A_DAY_S = 12 * 3600.0
Count = Callable[[], AbstractContextManager[list[dict[str, Any]]]]


@pytest.fixture
def project(tmp_path: Path, aws: Aws, emulator: Emulator) -> CloudProject:
    """A project that is ready for machines."""
    return make_project(tmp_path, aws, base_stack(aws), emulator)


def submit(project: CloudProject, *more: str) -> Run:
    """Start a run and leave it."""
    return Run(project.cli(*RUN, "--detach", *more).out.strip(), project.store)


def machine_stacks(aws: Aws) -> list[dict[str, Any]]:
    found = aws.cloudformation.describe_stacks()["Stacks"]
    return [dict(one) for one in found if "--" in one["StackName"]]


def schedules(aws: Aws) -> list[str]:
    return [one["Name"] for one in aws.scheduler.list_schedules()["Schedules"]]


def test_a_submission_makes_a_machine_that_bears_its_run_and_its_deadline(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    run = submit(project)
    (stack,) = machine_stacks(aws)
    tags = {one["Key"]: one["Value"] for one in stack["Tags"]}
    machine = run.request.machine
    assert machine is not None
    assert (tags["dayfly:run"], tags["dayfly:project"]) == (run.run_id, project.base.project)
    assert tags["dayfly:deadline"] == machine.deadline.strftime("%Y-%m-%dT%H:%M:%SZ")
    (instance,) = emulator.instances()
    assert instance["Tags"]["dayfly:run"] == run.run_id
    assert run.state is State.PROVISIONING


def test_one_deadline_is_known_to_schedule_machine_request_and_stack(project: CloudProject, aws: Aws) -> None:
    run = submit(project)
    machine = run.request.machine
    assert machine is not None
    schedule = aws.scheduler.get_schedule(Name=run.run_id, GroupName=project.base.schedule_group)
    (stack,) = machine_stacks(aws)
    given = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    assert schedule["StartDate"] == machine.deadline
    assert int(given["DeadlineEpoch"]) == int(machine.deadline.timestamp())
    assert json.loads(schedule["Target"]["Input"]) == {"StackName": stack["StackName"]}


def test_the_deadline_is_armed_before_anything_that_costs_is_made(
    project: CloudProject, count_calls: Count
) -> None:
    with count_calls() as calls:
        submit(project)
    made = names(calls)
    assert made.index("scheduler:CreateSchedule") < made.index("cloudformation:CreateStack")
    assert made.index("s3:PutObject") < made.index("scheduler:CreateSchedule")


def test_a_submission_takes_a_dozen_calls_when_prices_are_known(
    project: CloudProject, count_calls: Count
) -> None:
    submit(project)
    (project.root / "nb.ipynb").touch()
    with count_calls() as calls:
        submit(project)
    made = names(calls)
    before = made[: made.index("cloudformation:CreateStack") + 1]
    assert len(before) <= CALLS, before


def test_a_dry_run_says_all_and_makes_nothing(project: CloudProject, aws: Aws, count_calls: Count) -> None:
    with count_calls() as calls:
        said = project.cli(*RUN, "--dry-run").out
    assert "m7i.large" in said
    assert "at most $" in said
    changing = ("Create", "Put", "Delete", "Run", "Update", "Upload")
    assert not [name for name in names(calls) if name.partition(":")[2].startswith(changing)]
    assert not machine_stacks(aws)


@pytest.mark.fault(12)
def test_a_machine_that_nobody_hears_of_again_is_gone_after_its_deadline(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    run = submit(project)
    emulator.let_pass(HALF_A_DAY_S)
    assert (machine_stacks(aws), emulator.instances(), schedules(aws)) == ([], [], [])
    assert run.request.machine is not None


@pytest.mark.fault(37)
def test_the_same_token_twice_is_one_run_and_one_machine(project: CloudProject, aws: Aws) -> None:
    first, second = submit(project, "--token", "t"), submit(project, "--token", "t")
    assert first == Run(second.run_id, first.store)
    assert len(machine_stacks(aws)) == 1
    assert len(list_runs(project.store)) == 1


@pytest.mark.fault(31)
def test_a_zone_without_capacity_leads_to_the_next(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    emulator.no_capacity(instance_type="m7i.large", times=1)
    run = submit(project)
    (stack,) = machine_stacks(aws)
    assert stack["StackName"].endswith(f"{run.run_id}-2")
    assert schedules(aws) == [f"{run.run_id}-2"]
    content = run.store.get(layout.run_key(run.run_id, layout.MACHINE_RECORD))
    assert parse_model(MachineRecord, content or b"", layout.MACHINE_RECORD).attempt == 2


@pytest.mark.fault(31)
def test_when_no_zone_has_capacity_the_run_never_started_and_others_are_named(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    emulator.no_capacity(instance_type="m7i.large")
    failed = project.cli(*RUN, code=9)
    assert "no m7i.large to spare in" in failed.err
    assert "--instance" in failed.err
    assert (machine_stacks(aws), emulator.instances(), schedules(aws)) == ([], [], [])
    (left,) = list_runs(project.store)
    assert left.state is State.NEVER_STARTED
    result = Run(left.run_id, project.store).result
    assert result is not None
    assert "to spare" in result.message


@pytest.mark.fault(34)
def test_where_the_deadline_cannot_be_armed_no_machine_is_made(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    emulator.fault("scheduler:CreateSchedule", kind="deny", times=-1)
    failed = project.cli(*RUN, code=9)
    assert "deadline cannot be armed" in failed.err
    assert (machine_stacks(aws), emulator.instances()) == ([], [])
    assert [run.state for run in list_runs(project.store)] == [State.NEVER_STARTED]


@pytest.mark.fault(27)
def test_where_the_bucket_cannot_be_written_nothing_is_made(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    emulator.fault("s3:PutObject", kind="deny", times=-1)
    project.cli(*RUN, code=5)
    assert (machine_stacks(aws), emulator.instances(), schedules(aws)) == ([], [], [])


def test_without_a_price_nobody_is_surprised(project: CloudProject, aws: Aws, emulator: Emulator) -> None:
    emulator.fault("pricing:GetProducts", kind="fail", times=-1)
    failed = project.cli(*RUN, code=2)
    assert "--yes" in failed.err
    assert (machine_stacks(aws), schedules(aws)) == ([], [])
    project.cli(*RUN, "--detach", "--yes")
    assert len(machine_stacks(aws)) == 1


@pytest.mark.fault(16)
def test_an_image_that_nobody_has_pushed_is_told_before_anything_is_made(
    project: CloudProject, aws: Aws
) -> None:
    (project.root / "requirements.txt").write_text("ipykernel\npandas\n", encoding="utf-8")
    project.git("commit", "--quiet", "--all", "--message", "Another image")
    failed = project.cli(*RUN, code=8)
    assert "dayfly image build --on ec2" in failed.err
    assert (machine_stacks(aws), schedules(aws)) == ([], [])


@pytest.mark.fault(38)
def test_a_throttled_service_is_asked_again_quietly(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    emulator.fault("cloudformation:CreateStack", kind="throttle", times=2)
    emulator.fault("scheduler:CreateSchedule", kind="throttle", times=2)
    submit(project)
    assert len(machine_stacks(aws)) == 1


@pytest.mark.fault(38)
def test_an_answer_that_is_lost_makes_no_second_machine(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    """CreateStack was done, its answer never came, and botocore asks again."""
    emulator.fault("cloudformation:CreateStack", kind="fail", times=1, after=True, status=500)
    submit(project)
    assert len(machine_stacks(aws)) == 1
    assert len(emulator.instances()) == 1


STEPS = (
    ("cloudformation:DescribeStacks", False),
    ("s3:PutObject", False),
    ("s3:PutObject", True),
    ("scheduler:CreateSchedule", False),
    ("scheduler:CreateSchedule", True),
    ("cloudformation:CreateStack", False),
    ("cloudformation:CreateStack", True),
    ("cloudformation:DescribeStackEvents", False),
)


def cut_off(project: CloudProject, operation: str, number: signal.Signals, *, after: bool = False) -> Done:
    """Submit; send the signal to the client while it hangs in one call, before or after that was done."""
    project.emulator.forget_requests()
    project.emulator.fault(operation, kind="delay", delay_s=30, after=after)
    client = subprocess.Popen(
        [str(PROGRAMS / "dayfly"), *RUN, "--token", "t"],
        cwd=project.root,
        env=dict(project.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    service, _, name = operation.partition(":")
    try:
        wait_for(
            lambda: project.emulator.requests(service=service, operation=name),
            f"the client to call {operation}",
            within_s=COMMAND_S,
        )
    finally:
        os.killpg(client.pid, number)
        _, err = client.communicate(timeout=PATIENCE_S)
        project.emulator.heal()
    return Done(code=client.returncode, out="", err=err.decode())


@pytest.mark.parametrize(("operation", "after"), STEPS, ids=[f"{name}-{after}" for name, after in STEPS])
@pytest.mark.fault(30)
def test_a_client_killed_at_any_step_leaves_no_machine_after_the_deadline(
    project: CloudProject, aws: Aws, emulator: Emulator, operation: str, after: bool
) -> None:
    """The client hangs in one call, before or after the emulator has done it, and is killed there."""
    cut_off(project, operation, signal.SIGKILL, after=after)
    emulator.let_pass(HALF_A_DAY_S)
    assert (machine_stacks(aws), emulator.instances(), schedules(aws)) == ([], [], [])


@pytest.mark.fault(30)
def test_a_submission_that_was_cut_off_is_taken_up_by_its_token(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    emulator.fault("cloudformation:CreateStack", kind="deny", times=1)
    project.cli(*RUN, "--token", "t", code=9)
    store = project.store
    (left,) = list_runs(store)
    store.delete([layout.run_key(left.run_id, layout.RESULT)])
    assert submit(project, "--token", "t").run_id == left.run_id
    assert len(machine_stacks(aws)) == 1


def test_a_client_killed_when_its_stack_was_made_finds_it_again_by_its_token(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    """It was killed between CreateStack and writing down that there is a stack."""
    cut_off(project, "cloudformation:CreateStack", signal.SIGKILL, after=True)
    run = submit(project, "--token", "t")
    assert run.state is State.PROVISIONING
    assert len(machine_stacks(aws)) == len(emulator.instances()) == 1


def test_a_stack_that_nobody_has_written_down_is_shown_and_ended(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    cut_off(project, "cloudformation:CreateStack", signal.SIGKILL, after=True)
    (left,) = list_runs(project.store)
    shown = project.cli("show", left.run_id).out
    assert "alive (CREATE_" in shown, shown
    project.cli("stop", "--now", left.run_id)
    assert (machine_stacks(aws), emulator.instances(), schedules(aws)) == ([], [], [])


def test_ssh_without_a_key_is_refused_before_anything_is_made(project: CloudProject, aws: Aws) -> None:
    assert "no key for SSH" in project.cli(*RUN, "--ssh", "203.0.113.7", code=2).err
    assert (list_runs(project.store), machine_stacks(aws), schedules(aws)) == ([], [], [])


def test_a_value_that_the_template_refuses_is_told_before_anything_is_made(
    project: CloudProject, aws: Aws
) -> None:
    assert "HoldSeconds" in project.cli(*RUN, "--keep-on-failure", "365d", code=2).err
    assert (list_runs(project.store), machine_stacks(aws), schedules(aws)) == ([], [], [])


def test_a_run_that_has_ended_gets_no_second_machine_by_its_token(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    emulator.no_capacity(instance_type="m7i.large", times=6)
    project.cli(*RUN, "--token", "t", code=9)
    assert "to spare" in project.cli(*RUN, "--token", "t", code=15).err
    assert machine_stacks(aws) == []


@pytest.mark.parametrize(
    ("operation", "said", "machines"),
    [
        ("scheduler:CreateSchedule", "No machine was made for", 0),
        ("cloudformation:DescribeStackEvents", "The run goes on. Come back with: dayfly attach", 1),
    ],
)
@pytest.mark.fault(32)
def test_ctrl_c_while_the_machine_is_made_says_whether_there_is_one(
    project: CloudProject, aws: Aws, operation: str, said: str, machines: int
) -> None:
    left = cut_off(project, operation, signal.SIGINT)
    assert (left.code, said in left.err) == (130, True), left.err
    (run,) = list_runs(project.store)
    assert len(machine_stacks(aws)) == machines
    assert run.state is (State.PROVISIONING if machines else State.NEVER_STARTED)


def test_a_rerun_has_the_same_machine_for_the_same_commit(project: CloudProject, aws: Aws) -> None:
    first = submit(project)
    again = Run(project.cli("rerun", first.run_id, "--detach").out.strip(), project.store)
    one, other = first.request, again.request
    assert other.rerun_of == first.run_id
    assert (one.snapshot, one.image) == (other.snapshot, other.image)
    same = {"deadline", "price_at"}
    assert one.machine is not None
    assert other.machine is not None
    assert one.machine.model_dump(exclude=same) == other.machine.model_dump(exclude=same)
    assert len(machine_stacks(aws)) == 2


def test_a_rerun_goes_by_what_was_asked_then_and_not_by_the_project_of_today(project: CloudProject) -> None:
    first = submit(project)
    settings = project.root / "dayfly.toml"
    settings.write_text('gpus = "1"\ncpus = 64\n' + settings.read_text(encoding="utf-8"), encoding="utf-8")
    again = Run(project.cli("rerun", first.run_id, "--detach").out.strip(), project.store)
    assert (again.request.cpus, again.request.gpus) == (None, None)


def test_dollars_shorten_the_deadline(project: CloudProject) -> None:
    request = json.loads(project.cli(*RUN, "--max-cost", "0.10", "--dry-run", "--json").out)
    asked = Request.model_validate(request["request"])
    assert asked.timeout_s is not None
    assert asked.timeout_s < 7200
    assert float(request["machine"]["at_most_dollars"]) <= 0.10


def test_too_few_dollars_are_refused(project: CloudProject) -> None:
    assert "too little" in project.cli(*RUN, "--max-cost", "0.0001", "--dry-run", code=2).err


def test_flags_that_mean_nothing_on_a_machine_are_refused(project: CloudProject) -> None:
    assert "--python means nothing" in project.cli(*RUN, "--python", "python3", code=2).err
    assert "--instance means nothing" in project.cli("run", "nb.ipynb", "--instance", "m7i.large", code=2).err

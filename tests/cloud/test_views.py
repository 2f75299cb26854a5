"""Looking at runs and machines wherever they are, against the emulated AWS.

The emulator proves the calls, how many there are, and that what is shown is what stands there. The runs are
written by hand, as client, machine and keeper would leave them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.client import Aws
from dayfly.aws.deadline import arm_deadline
from dayfly.aws.machines import end_stack, find_machine, join_machines, list_machines
from dayfly.aws.names import machine_stack_name
from dayfly.aws.session import find_target, user_of
from dayfly.aws.stacks import find_stack
from dayfly.aws.teardown import Teardown, find_end
from dayfly.rehearsal.emulator import Emulator
from dayfly.runs import layout
from dayfly.runs.catalog import list_runs
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.status import encode_status
from dayfly.runs.store import open_store
from tests.cloud.stacks import MACHINE, base_stack, machine_stack, wait
from tests.cloud.submissions import CloudProject
from tests.unit.machine_runs import MachineRun, cell, event
from tests.unit.support import put_run

Count = Callable[[], AbstractContextManager[list[dict[str, Any]]]]
LOCAL = "20261123-091502-here-0a01"


@pytest.fixture
def project(tmp_path: Path, aws: Aws, emulator: Emulator) -> CloudProject:
    """A project with a bucket in AWS, one run here and none there."""
    base = base_stack(aws)
    root = tmp_path / "project"
    root.mkdir()
    (root / "dayfly.toml").write_text(
        f'[aws]\nproject = "{base.project}"\nbucket = "{base.bucket}"\n', encoding="utf-8"
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **emulator.environ()}
    made = CloudProject(root=root, emulator=emulator, base=base, environ=environ)
    put_run(open_store(root / ".dayfly"), LOCAL, State.SUCCEEDED)
    return made


@pytest.fixture
def machine_run(project: CloudProject, aws: Aws) -> Run:
    """A run whose machine is there: its stack in the emulator, its first steps in the bucket."""
    stack_id = machine_stack(aws, project.base)
    name = machine_stack_name(project.base.project, MACHINE)
    made = MachineRun(store=project.store, run_id=MACHINE)
    deadline = datetime.now(UTC) + timedelta(hours=1, minutes=55)
    arm_deadline(aws, project.base, name=MACHINE, stack_name=name, deadline=deadline)
    made.create(State.BOOTING, project=project.base.project, deadline=deadline)
    made.make(stack_name=name, stack_id=stack_id).boot()
    return Run(MACHINE, project.store)


class TestTwoStores:
    def test_ps_shows_runs_of_both_newest_first_and_where_they_are(
        self, project: CloudProject, machine_run: Run
    ) -> None:
        heading, *rows = project.cli("ps").out.splitlines()
        assert heading.split() == ["RUN", "STATE", "WHERE", "STARTED", "TOOK"]
        assert [row.split()[:3] for row in rows] == [
            [MACHINE, "booting", "ec2"],
            [LOCAL, "succeeded", "local"],
        ]

    def test_local_asks_nobody(self, project: CloudProject, machine_run: Run, count_calls: Count) -> None:
        with count_calls() as calls:
            rows = project.cli("ps", "--local").out.splitlines()[1:]
        assert ([row.split()[0] for row in rows], calls) == ([LOCAL], [])

    def test_the_bucket_alone_can_be_named(self, project: CloudProject, machine_run: Run) -> None:
        rows = project.cli("ps", "--store", project.store.url).out.splitlines()[1:]
        assert [row.split()[0] for row in rows] == [MACHINE]

    def test_a_run_is_found_in_either_by_id_prefix_and_last(
        self, project: CloudProject, machine_run: Run
    ) -> None:
        assert f"{LOCAL}  succeeded" in project.cli("show", "20261123-09").out
        assert f"{MACHINE}  booting" in project.cli("show", "last").out
        assert f"{MACHINE}  booting" in project.cli("show", MACHINE).out

    def test_a_bucket_that_is_gone_is_told_and_the_runs_here_are_shown(self, project: CloudProject) -> None:
        (project.root / "dayfly.toml").write_text('[aws]\nbucket = "no-such-bucket"\n', encoding="utf-8")
        shown = project.cli("ps")
        assert [row.split()[0] for row in shown.out.splitlines()[1:]] == [LOCAL]
        assert "warning: the runs in AWS are not looked at:" in shown.err
        assert "s3://no-such-bucket" in shown.err

    def test_a_run_that_is_here_is_found_whatever_becomes_of_the_bucket(self, project: CloudProject) -> None:
        (project.root / "dayfly.toml").write_text('[aws]\nbucket = "no-such-bucket"\n', encoding="utf-8")
        assert project.cli("show", LOCAL).err == ""
        assert project.cli("show", "nothing", code=5).err.startswith("error: Could not list the store")

    def test_a_run_there_is_removed_there(self, project: CloudProject, machine_run: Run) -> None:
        MachineRun(store=project.store, run_id=MACHINE).enter(State.FAILED)
        project.cli("rm", MACHINE)
        assert [run.run_id for run in list_runs(project.store)] == []
        assert [entry.key for entry in project.store.list(layout.RUNS)] == []


@pytest.mark.timeout(400)
def test_listing_ten_thousand_runs_takes_twelve_requests(
    project: CloudProject, aws: Aws, count_calls: Count
) -> None:
    store = project.store
    began = datetime.now(UTC) - timedelta(minutes=10_000)

    def put(number: int) -> None:
        run_id = f"{began + timedelta(minutes=number):%Y%m%d-%H%M%S}-many-{number:04x}"
        store.put(layout.status_key(run_id), encode_status(run_id, State.SUCCEEDED, began))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(10_000)))
    with count_calls() as calls:
        assert len(list_runs(store)) == 10_000
    assert len(calls) <= 12
    with count_calls() as calls:
        assert len(project.cli("ps").out.splitlines()) == 21
    assert len(calls) <= 3  # one of them lists the sweeps


class TestShow:
    def test_it_tells_all_about_the_machine(self, project: CloudProject, machine_run: Run) -> None:
        shown = project.cli("show", MACHINE).out
        for words in (
            "machine    m7i.2xlarge (x86_64, 30 GiB disk) in eu-central-1, of ada",
            "price      $0.4832/h with disk and address, looked up ",
            "deadline   ",
            " (in 1h 5",
            f"stack      {machine_stack_name(project.base.project, MACHINE)}",
            "alive (CREATE_COMPLETE)",
            f"dayfly attach {MACHINE}",
        ):
            assert words in shown

    def test_it_asks_cloudformation_once(
        self, project: CloudProject, machine_run: Run, count_calls: Count
    ) -> None:
        with count_calls() as calls:
            project.cli("show", MACHINE)
        assert [call["operation"] for call in calls if call["service"] != "s3"] == ["DescribeStacks"]

    def test_a_run_here_asks_nobody(self, project: CloudProject, count_calls: Count) -> None:
        with count_calls() as calls:
            project.cli("show", LOCAL)
        assert calls == []

    def test_a_stack_that_is_gone_is_said_to_be(
        self, project: CloudProject, machine_run: Run, aws: Aws
    ) -> None:
        _delete_stack(project, aws)
        assert "deleted: nothing of the machine is left" in project.cli("show", MACHINE).out
        assert project.cli("show", MACHINE, "--json").json()["machine"]["teardown"] == "done"

    def test_that_it_is_gone_is_said_where_why_may_not_be_looked_up(
        self, project: CloudProject, machine_run: Run, aws: Aws, emulator: Emulator
    ) -> None:
        _delete_stack(project, aws)
        emulator.forget_requests()
        emulator.fault("cloudformation:DescribeStackEvents", kind="deny", times=-1)
        assert "deleted: nothing of the machine is left" in project.cli("show", MACHINE).out
        assert emulator.requests(service="cloudformation", operation="DescribeStackEvents")

    def test_a_refused_look_is_unknown_and_no_error(
        self, project: CloudProject, machine_run: Run, emulator: Emulator
    ) -> None:
        emulator.fault("cloudformation:DescribeStacks", kind="deny", times=-1)
        assert "unknown: AWS does not allow" in project.cli("show", MACHINE).out


def _delete_stack(project: CloudProject, aws: Aws) -> None:
    stack = machine_stack_name(project.base.project, MACHINE)
    stack_id = aws.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
    aws.cloudformation.delete_stack(StackName=stack)
    wait(aws, stack_id, "stack_delete_complete")


class TestMachines:
    def test_a_machine_is_listed_with_what_it_is_until_when(self, aws: Aws, machine_run: Run) -> None:
        (machine,) = list_machines(aws, "rehearsal")
        assert (machine.machine_id, machine.task, machine.instance_type) == (MACHINE, "run", "m7i.large")
        assert (machine.status, machine.instance_state, machine.disk_gib) == (
            "CREATE_COMPLETE",
            "running",
            30,
        )
        assert machine.zone
        assert machine.deadline is not None
        assert machine.deadline > machine.since
        assert machine.schedule == MACHINE

    def test_other_projects_are_not_unless_asked_for(self, aws: Aws, machine_run: Run) -> None:
        assert list_machines(aws, "another") == []
        assert len(list_machines(aws, None)) == 1

    def test_an_instance_without_a_stack_is_listed_too(self, aws: Aws, machine_run: Run) -> None:
        """It costs money, whoever made it."""
        reservations = aws.ec2.describe_instances()["Reservations"]
        instances = [one for group in reservations for one in group["Instances"]]
        (orphan,) = join_machines([], instances)
        assert (orphan.machine_id, orphan.status) == (MACHINE, "NO_STACK")

    def test_the_command_prints_each_and_the_sum(self, project: CloudProject, machine_run: Run) -> None:
        shown = project.cli("machines").out
        assert f"{MACHINE}  m7i.large" in shown
        assert "run by somebody in us-east-1" in shown.replace(" · ", " ")
        assert "1 machine, $" in shown
        (line,) = project.cli("machines", "--json").json_lines()
        assert (line["id"], line["stack_status"], line["zone"][:-1]) == (
            MACHINE,
            "CREATE_COMPLETE",
            "us-east-1",
        )

    def test_none_is_said_to_be_none(self, project: CloudProject) -> None:
        shown = project.cli("machines")
        assert (shown.out, "No machine of the project rehearsal" in shown.err) == ("", True)

    def test_ending_a_stack_removes_its_schedule_when_it_is_gone(
        self, project: CloudProject, aws: Aws, machine_run: Run
    ) -> None:
        machine = find_machine(list_machines(aws, "rehearsal"), MACHINE[:10])
        assert machine is not None
        end_stack(aws, project="rehearsal", stack_id=machine.stack_id, schedule=machine.schedule)
        assert list_machines(aws, None) == []
        assert aws.scheduler.list_schedules()["Schedules"] == []
        assert find_end(aws, machine.stack_id).teardown is Teardown.DONE


class TestStop:
    def test_a_run_is_asked_first(self, project: CloudProject, aws: Aws, machine_run: Run) -> None:
        said = project.cli("stop", "--no-wait", MACHINE).err
        assert f"dayfly stop --now {MACHINE}" in said
        stop = project.store.get(layout.run_key(MACHINE, layout.STOP))
        assert stop is not None
        assert set(json.loads(stop)) == {"at", "by"}
        assert len(list_machines(aws, "rehearsal")) == 1

    def test_with_now_its_stack_and_its_schedule_go(
        self, project: CloudProject, aws: Aws, machine_run: Run
    ) -> None:
        said = project.cli("stop", "--now", MACHINE).err
        assert "The machine and its deadline's schedule are gone." in said
        assert list_machines(aws, "rehearsal") == []
        assert MACHINE not in {one["Name"] for one in aws.scheduler.list_schedules()["Schedules"]}
        assert machine_run.state is State.NEVER_STARTED
        assert "dayfly stop --now" in project.cli("show", MACHINE).out

    def test_the_machine_that_outlives_its_run_ends_too(
        self, project: CloudProject, aws: Aws, machine_run: Run
    ) -> None:
        """As one that is kept for a look after a failure."""
        MachineRun(store=project.store, run_id=MACHINE).enter(State.FAILED)
        project.cli("stop", MACHINE)
        assert list_machines(aws, "rehearsal") == []

    def test_a_run_whose_machine_is_gone_has_ended(
        self, project: CloudProject, aws: Aws, machine_run: Run
    ) -> None:
        MachineRun(store=project.store, run_id=MACHINE).enter(State.FAILED)
        project.cli("stop", MACHINE)
        assert "has ended already (failed)" in project.cli("stop", MACHINE, code=4).err

    def test_a_machine_that_no_run_has_is_ended_by_its_id(self, project: CloudProject, aws: Aws) -> None:
        build = "20261123-120000-image-0b1d"
        stack_id = machine_stack(aws, project.base, build, Task="build", Image="", Commit="")
        project.cli("stop", build)
        gone = find_stack(aws, stack_id)
        assert gone is None or gone.status == "DELETE_COMPLETE"

    def test_what_is_neither_run_nor_machine_is_no_run(self, project: CloudProject) -> None:
        assert "There is no run 'nothing'." in project.cli("stop", "nothing", code=3).err


class TestSsh:
    def test_a_session_needs_programs_and_says_where_to_get_them(
        self, project: CloudProject, machine_run: Run
    ) -> None:
        (project.root / "bin").mkdir()
        alone = replace(project, environ={**project.environ, "PATH": str(project.root / "bin")})
        said = alone.cli("ssh", MACHINE, code=1).err
        assert "The AWS CLI is not installed (aws)." in said
        assert "https://docs.aws.amazon.com/cli/" in said

    def test_a_machine_without_a_key_has_no_lines_for_ssh(
        self, project: CloudProject, machine_run: Run
    ) -> None:
        assert "knows no SSH key" in project.cli("ssh", "--config", MACHINE, code=2).err

    def test_where_ssh_is_open_it_is_the_machines_address_and_the_user_of_its_image(
        self, project: CloudProject, aws: Aws, machine_run: Run
    ) -> None:
        stack_name = machine_stack_name("rehearsal", MACHINE)
        made = find_stack(aws, stack_name)
        assert made is not None
        instance = aws.ec2.describe_instances()["Reservations"][0]["Instances"][0]
        open_to_us = {**made.parameters, "KeyName": "dayfly-rehearsal", "SshCidr": "203.0.113.7/32"}
        target = find_target(aws, replace(made, parameters=open_to_us), MACHINE)
        (image,) = aws.ec2.describe_images(ImageIds=[instance["ImageId"]])["Images"]
        assert (target.instance_id, target.user) == (instance["InstanceId"], user_of(image["Name"]))
        assert target.address == instance.get("PublicIpAddress", "")

    def test_a_machine_that_is_gone_cannot_be_entered(
        self, project: CloudProject, aws: Aws, machine_run: Run
    ) -> None:
        project.cli("stop", "--now", MACHINE)
        assert "its stack is DELETE_COMPLETE" in project.cli("ssh", MACHINE, code=4).err

    def test_a_run_here_has_no_machine(self, project: CloudProject) -> None:
        assert "has no machine" in project.cli("ssh", LOCAL, code=4).err


def test_a_timeline_goes_from_submission_to_the_end_of_the_stack(
    project: CloudProject, aws: Aws, machine_run: Run
) -> None:
    told = MachineRun(store=project.store, run_id=MACHINE)
    told.run(
        event("state", 95, state="running"),
        *cell(1, 98, 100, "x = 1"),
        event("ended", 101, state="succeeded", message=""),
    ).enter(State.SUCCEEDED)
    project.cli("stop", MACHINE)
    found = project.cli("timeline", MACHINE, "--json").json()
    assert [phase["name"] for phase in found["phases"]][:2] == ["submit", "create the stack"]
    assert found["phases"][-1]["name"] == "delete the stack"
    picture = project.root / "timeline.svg"
    assert project.cli("timeline", MACHINE, "--svg", str(picture)).out.strip() == str(picture)
    assert picture.read_text(encoding="utf-8").startswith("<svg")

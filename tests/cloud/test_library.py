"""`dayfly.run(on="ec2")` and `dayfly.find` as a program uses them, against the emulated AWS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dayfly.aws.client import Aws
from dayfly.rehearsal.emulator import Emulator
from dayfly.runs import layout
from dayfly.runs.catalog import list_runs
from dayfly.runs.state import State
from tests.cloud.stacks import base_stack
from tests.cloud.submissions import COMMAND_S, CloudProject, make_project
from tests.helpers import wait_for


@pytest.fixture
def project(tmp_path: Path, aws: Aws, emulator: Emulator) -> CloudProject:
    """A project that is ready for machines."""
    return make_project(tmp_path, aws, base_stack(aws), emulator)


def program(project: CloudProject, text: str) -> subprocess.Popen[str]:
    """A Python program in the project, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import dayfly\n{text}"],
        cwd=project.root,
        env=dict(project.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_run_that_is_not_waited_for_is_found_again(project: CloudProject) -> None:
    begun = program(
        project,
        'run = dayfly.run("nb.ipynb", on="ec2", timeout="2h", wait=False)\n'
        "print(run.run_id, dayfly.find(run.run_id).state, dayfly.find().run_id == run.run_id)",
    )
    out, err = begun.communicate(timeout=COMMAND_S)
    (run,) = list_runs(project.store)
    assert out.split() == [run.run_id, "provisioning", "True"], err


def test_an_output_that_nobody_waits_for_is_refused(project: CloudProject, aws: Aws) -> None:
    begun = program(project, 'dayfly.run("nb.ipynb", on="ec2", output="out.ipynb", wait=False)')
    _, err = begun.communicate(timeout=COMMAND_S)
    assert "output needs wait=True" in err
    assert list_runs(project.store) == []


@pytest.mark.parametrize(
    ("operation", "state", "stopped"),
    [
        ("scheduler:CreateSchedule", State.NEVER_STARTED, False),
        ("cloudformation:DescribeStackEvents", State.PROVISIONING, True),
    ],
)
def test_ctrl_c_while_the_machine_is_made_leaves_no_run_that_goes_on(
    project: CloudProject, emulator: Emulator, operation: str, state: State, stopped: bool
) -> None:
    service, _, name = operation.partition(":")
    emulator.forget_requests()
    emulator.fault(operation, kind="delay", delay_s=30)
    begun = program(project, 'dayfly.run("nb.ipynb", on="ec2", timeout="2h")')
    try:
        wait_for(
            lambda: emulator.requests(service=service, operation=name),
            f"the call of {operation}",
            within_s=COMMAND_S,
        )
    finally:
        os.killpg(begun.pid, signal.SIGINT)
        _, err = begun.communicate(timeout=COMMAND_S)
        emulator.heal()
    assert "KeyboardInterrupt" in err
    (run,) = list_runs(project.store)
    assert run.state is state
    assert project.store.exists(layout.run_key(run.run_id, layout.STOP)) is stopped

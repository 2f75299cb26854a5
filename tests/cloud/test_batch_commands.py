"""`dayfly sweep --on batch` and its kin as they are typed: what is said and asked before they submit points.

Nothing runs: the machines of the emulated Batch find no capacity.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dayfly.aws.client import Aws
from dayfly.aws.policies import user_policy
from dayfly.aws.policy_batch import batch_user_policy
from dayfly.backends.sweep_view import Sweep
from dayfly.rehearsal.emulator import ACCOUNT, Emulator
from dayfly.runs import layout
from dayfly.runs.batch_record import load_submissions
from dayfly.runs.store import Store
from tests.cloud.stacks import PROJECT, base_stack
from tests.cloud.submissions import COMMAND_S, CloudProject, make_project
from tests.helpers import PATIENCE_S, PROGRAMS, wait_for

SWEEP = ("sweep", "nb.ipynb", "--on", "batch", "-p", "count=1..4", "--timeout", "1h")


@pytest.fixture
def project(tmp_path: Path, aws: Aws, emulator: Emulator) -> CloudProject:
    """A project that is ready for sweeps on Batch."""
    base = base_stack(aws, Batch="true")
    emulator.no_capacity()
    return make_project(tmp_path, aws, base, emulator)


@pytest.fixture
def unpriced(project: CloudProject, emulator: Emulator) -> CloudProject:
    """One whose prices cannot be had."""
    emulator.fault("pricing:GetProducts", kind="fail", times=-1)
    return project


def submit(project: CloudProject, *more: str) -> Sweep:
    """Begin a sweep and leave it."""
    return Sweep(project.cli(*SWEEP, "--detach", *more).out.strip(), project.store)


def sweeps_in(store: Store) -> list[str]:
    return [entry.key for entry in store.list(layout.SWEEPS)]


def test_what_is_submitted_is_said_before(project: CloudProject) -> None:
    said = project.cli(*SWEEP, "--detach", "--cpus", "2").err
    lines = {line[:10].strip(): line[11:] for line in said.splitlines()}
    assert lines["submits"] == "4 points in 1 job"
    assert lines["a point"] == "2 vCPUs, 3,600 MiB"
    assert lines["queue"] == "dayfly-rehearsal in us-east-1, on demand"
    assert lines["timeout"] == "1h 00m a run"
    assert lines["attempts"].startswith("3 a point at most")
    assert "(in " in lines["gone by"]
    assert lines["cost"].startswith("at most $")
    assert "/h a point at most" in lines["cost"]


def test_a_cost_that_shortens_the_time_says_so_and_from_what(project: CloudProject) -> None:
    said = project.cli(*SWEEP, "--dry-run", "--timeout", "8h", "--max-cost", "0.30").out
    assert "in place of 8h 00m: --max-cost pays for no more" in said
    assert "1 a point at most, in place of 3: --max-cost pays for no more" in said


def test_a_dry_run_tells_the_same_to_programs_and_makes_nothing(project: CloudProject) -> None:
    facts = json.loads(project.cli(*SWEEP, "--dry-run", "--json", "--spot").out)
    batch = facts["batch"]
    assert (batch["points"], batch["array_jobs"], batch["spot"]) == (4, 1, True)
    assert batch["queue"] == project.base.batch_spot_queue
    assert float(batch["at_most_dollars"]) > float(batch["price_per_hour"]) > 0
    assert facts["request"]["price_per_hour"] == batch["price_per_hour"]
    assert sweeps_in(project.store) == []
    assert not project.emulator.requests(service="batch", operation="SubmitJob")


def test_spot_that_was_asked_for_is_what_is_submitted_and_retried(project: CloudProject) -> None:
    sweep = submit(project, "--spot")
    project.cli("stop", sweep.sweep_id, code=None)
    project.cli("retry", sweep.sweep_id, "--detach")
    queues = [one.queue for one in load_submissions(project.store, sweep.sweep_id)]
    assert queues == [project.base.batch_spot_queue] * 2


def test_without_a_price_somebody_must_say_yes_and_until_then_nothing_is_there(
    unpriced: CloudProject,
) -> None:
    refused = unpriced.cli(*SWEEP, "--detach", code=2)
    assert "costs is unknown" in refused.err
    assert "--yes" in refused.err
    assert sweeps_in(unpriced.store) == []
    sweep = submit(unpriced, "--yes")
    [record] = load_submissions(unpriced.store, sweep.sweep_id)
    assert record.most_cost is None
    assert sweep.request.price_per_hour is None


def test_going_on_without_a_price_needs_a_yes_as_well(unpriced: CloudProject) -> None:
    sweep = submit(unpriced, "--yes")
    unpriced.cli("stop", sweep.sweep_id, code=None)
    refused = unpriced.cli("retry", sweep.sweep_id, "--detach", code=2)
    assert "--yes" in refused.err
    assert len(load_submissions(unpriced.store, sweep.sweep_id)) == 1
    said = unpriced.cli("retry", sweep.sweep_id, "--detach", "--yes").err
    assert "4 points in 1 job" in said
    assert len(load_submissions(unpriced.store, sweep.sweep_id)) == 2


def test_every_command_on_a_sweep_needs_the_two_policies_of_who_submits_and_no_more(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    """SECURITY 9: the real commands, on an emulator that enforces policies."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
    }
    role = aws.iam.create_role(
        RoleName="ada",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    for name, make in (("user", user_policy), ("batch", batch_user_policy)):
        document = json.dumps(make(PROJECT, ACCOUNT, aws.region))
        aws.iam.put_role_policy(RoleName="ada", PolicyName=name, PolicyDocument=document)
    hers = emulator.environ(emulator.credentials_of(role))
    ada = replace(project, environ={**project.environ, **hers})
    emulator.forget_requests()
    sweep_id = ada.cli(*SWEEP, "--detach", "--max-cost", "5").out.strip()
    for command in (("show",), ("cost",), ("results",)):
        ada.cli(*command, sweep_id)
    assert "4 RUNNABLE" in ada.cli("cloud", "status").out
    ada.cli("stop", sweep_id, code=None)
    ada.cli("retry", sweep_id, "--detach")
    ada.cli("stop", sweep_id, code=None)
    ada.cli("rm", sweep_id)
    assert sweeps_in(project.store) == []
    refused = {f"{r['service']}:{r['operation']}" for r in emulator.requests() if r["status"] == 403}
    assert refused == {"s3:ListBucketVersions"}, "cloud status does without the sizes of older versions"


def program(project: CloudProject, text: str) -> str:
    """What a Python program in the project prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"import dayfly\n{text}"],
        cwd=project.root,
        env=dict(project.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_sweep_from_python_is_in_the_bucket_as_one_of_the_command_is(project: CloudProject) -> None:
    sweep_id = program(
        project,
        'sweep = dayfly.sweep("nb.ipynb", {"count": [1, 2]}, on="batch", spot=True, wait=False)\n'
        "print(sweep.sweep_id)",
    ).strip()
    [record] = load_submissions(project.store, sweep_id)
    assert (record.spot, record.most_cost is not None) == (True, True)
    sweep = Sweep(sweep_id, project.store)
    assert sweep.request.price_per_hour == record.price_per_hour
    assert [(row["count"], row["state"]) for row in sweep.results()] == [(1, None), (2, None)]


def test_a_sweep_from_python_keeps_its_limit_and_leaves_nothing_where_it_cannot(
    project: CloudProject,
) -> None:
    said = program(
        project,
        "try:\n"
        '    dayfly.sweep("nb.ipynb", {"count": [1, 2]}, on="batch", max_cost="0.001")\n'
        "except dayfly.errors.UsageError as error:\n"
        "    print(error.what)",
    )
    assert "--max-cost 0.001 is too little for 2 points" in said
    assert sweeps_in(project.store) == []


def test_a_ctrl_c_while_batch_takes_a_sweep_ends_what_it_took(
    project: CloudProject, aws: Aws, emulator: Emulator
) -> None:
    emulator.fault("batch:SubmitJob", kind="delay", delay_s=PATIENCE_S, after=True)
    with subprocess.Popen(
        [str(PROGRAMS / "dayfly"), *SWEEP, "--detach"],
        cwd=project.root,
        env=dict(project.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_for(
            lambda: emulator.requests(service="batch", operation="SubmitJob"),
            "the submission",
            within_s=COMMAND_S,
        )
        process.send_signal(signal.SIGINT)
        emulator.release()
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert b"Traceback" not in err
    [sweep_id] = {key.split("/")[1] for key in sweeps_in(project.store)}
    [record] = load_submissions(project.store, sweep_id)
    [job] = aws.batch.describe_jobs(jobs=[record.arrays[0].job_id])["jobs"]
    assert (job["status"], record.arrays[0].asked) == ("FAILED", "stopped")

"""Sweeps on AWS Batch without an engine: calls, deadlines, costs, queue budget, rights. Nothing runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dayfly.aws.base import BaseStack, load_base
from dayfly.aws.base_down import plan_down
from dayfly.aws.base_status import load_status
from dayfly.aws.batch import (
    plan_sweep_submission,
    settle_sweep,
    stop_sweep,
    submit_sweep,
)
from dayfly.aws.batch_follow import follow_sweep
from dayfly.aws.batch_status import load_batch_status
from dayfly.aws.client import Aws
from dayfly.aws.extras import Extras
from dayfly.aws.policies import user_policy
from dayfly.aws.policy_batch import batch_user_policy
from dayfly.aws.reap import apply_reap
from dayfly.aws.reap_plan import plan_reap
from dayfly.backends.stores import open_bucket
from dayfly.cli.cloud_tables import draw_status, open_console
from dayfly.errors import AwsError, RunConflictError, UsageError
from dayfly.rehearsal.emulator import ACCOUNT, Emulator
from dayfly.runs import layout
from dayfly.runs.batch_record import load_submissions
from dayfly.runs.ids import child_id
from dayfly.runs.request import ContainerUser, ImageSource, PythonEnvironment, Request, SnapshotSource
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, encode_points
from dayfly.runs.sweep_batch import children_key
from tests.cloud.conftest import EmulatorClock
from tests.cloud.stacks import IMAGE, PROJECT, base_stack
from tests.cloud.submissions import names

SWEEP = "20261123-101502-work-7f3a"


@pytest.fixture
def base(aws: Aws, emulator: Emulator) -> BaseStack:
    """A base stack with Batch, whose machines find no capacity: nothing begins."""
    base_stack(aws, Batch="true")
    emulator.no_capacity()
    emulator.forget_requests()
    return load_base(aws, PROJECT)


@pytest.fixture
def store(base: BaseStack) -> Store:
    return open_bucket(base.bucket, region=base.region)


def a_sweep(store: Store, count: int, **changed: Any) -> tuple[SweepRequest, list[Point]]:
    """A sweep of so many points in the store."""
    user = ContainerUser(uid=1000, gid=1000, name="app", home="/home/app")
    run = Request(
        run_id=SWEEP,
        created=datetime.now(UTC),
        notebook="work.ipynb",
        backend="batch",
        kernel="python3",
        python=PythonEnvironment(executable="/usr/bin/python3", prefix="/usr", source="image"),
        cwd="/dayfly/project",
        snapshot=SnapshotSource(commit="0" * 40, tree="0" * 40, checkout="/dayfly/project"),
        image=ImageSource(tag="t", id=IMAGE, key="k", platform="linux/amd64", user=user),
        timeout_s=600.0,
    )
    points = [Point(parameters={"x": number}) for number in range(count)]
    sweep = SweepRequest(
        sweep_id=SWEEP,
        created=datetime.now(UTC),
        run=run,
        notebook_sha256="0",
        base="0",
        count=count,
        points_sha256="0",
        names=("x",),
        **changed,
    )
    store.put(layout.sweep_key(SWEEP, layout.POINTS), encode_points(points))
    store.put(layout.sweep_key(SWEEP, layout.SWEEP), sweep.to_bytes())
    return sweep, points


def test_25000_points_are_three_array_jobs_and_a_few_objects(
    aws: Aws,
    base: BaseStack,
    store: Store,
    count_calls: Callable[[], AbstractContextManager[list[dict[str, Any]]]],
) -> None:
    """O(1) uploads, and O(points/10,000) calls."""
    sweep, points = a_sweep(store, 25_000)
    with count_calls() as calls:
        record = submit_sweep(aws, base, store, sweep, points, environ={})
    assert record is not None
    assert [one.size for one in record.arrays] == [10_000, 10_000, 5_000]
    assert names(calls).count("batch:SubmitJob") == 3
    assert names(calls).count("scheduler:CreateSchedule") == 3
    assert names(calls).count("s3:PutObject") == 5
    assert names(calls).index("scheduler:CreateSchedule") < names(calls).index("batch:SubmitJob")
    with count_calls() as calls:
        found = follow_sweep(aws, store, SWEEP)
    assert names(calls).count("batch:DescribeJobs") == 1
    assert [one.counts for one in found] == [{"RUNNABLE": 10_000}, {"RUNNABLE": 10_000}, {"RUNNABLE": 5_000}]


def test_a_single_point_is_a_job_and_the_same_image_the_same_definition(
    aws: Aws, base: BaseStack, store: Store
) -> None:
    sweep, points = a_sweep(store, 1)
    first = submit_sweep(aws, base, store, sweep, points, environ={})
    assert first is not None
    stop_sweep(aws, base, store, SWEEP)
    second = submit_sweep(aws, base, store, sweep, points, environ={}, spot=True)
    assert second is not None
    assert (first.number, second.number) == (1, 2)
    assert first.definition == second.definition
    assert (first.queue, second.queue) == (base.batch_queue, base.batch_spot_queue)
    [definition] = aws.batch.describe_job_definitions(jobDefinitions=[first.definition])["jobDefinitions"]
    assert definition["containerProperties"]["image"] == IMAGE
    [job] = aws.batch.describe_jobs(jobs=[first.arrays[0].job_id])["jobs"]
    assert job["tags"]["dayfly:project"] == PROJECT
    assert job["tags"]["dayfly:run"] == SWEEP


def test_each_schedule_ends_its_own_job(aws: Aws, base: BaseStack, store: Store) -> None:
    sweep, points = a_sweep(store, 3)
    record = submit_sweep(aws, base, store, sweep, points, environ={})
    assert record is not None
    said = aws.scheduler.get_schedule(Name=record.arrays[0].schedule, GroupName=base.schedule_group)
    assert said["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:batch:terminateJob"
    assert json.loads(said["Target"]["Input"])["JobId"] == record.arrays[0].job_id
    assert record.deadline - record.created >= timedelta(seconds=record.queue_budget_s + record.attempt_s - 1)


def test_the_schedule_ends_what_still_waits(
    aws: Aws, base: BaseStack, store: Store, clock: EmulatorClock, emulator: Emulator
) -> None:
    sweep, points = a_sweep(store, 3)
    record = submit_sweep(aws, base, store, sweep, points, environ={}, queue_budget_s=10 * 3600.0)
    assert record is not None
    # Before that the queue's own limit would; it is a quarter of an hour off here.
    queue = base.batch_queue.rpartition("/")[2]
    aws.batch.update_job_queue(jobQueue=queue, jobStateTimeLimitActions=[])
    clock.sleep((record.deadline - aws.now()).total_seconds() + 5)
    [one] = follow_sweep(aws, store, SWEEP)
    asked = [(r["status"], r["code"], r["resource"]) for r in emulator.requests(operation="TerminateJob")]
    assert (one.status, one.counts) == ("FAILED", {"FAILED": 3}), asked
    settle_sweep(aws, base, store, SWEEP)
    assert load_submissions(store, SWEEP)[0].arrays[0].ended == "deadline"


def test_nothing_is_submitted_when_the_deadline_cannot_be_armed(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator
) -> None:
    sweep, points = a_sweep(store, 3)
    emulator.fault("scheduler:CreateSchedule", kind="deny")
    with pytest.raises(AwsError, match="nothing was submitted"):
        submit_sweep(aws, base, store, sweep, points, environ={})
    assert not emulator.requests(service="batch", operation="SubmitJob")


def test_a_job_that_nothing_would_end_does_not_stay(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator
) -> None:
    sweep, points = a_sweep(store, 3)
    emulator.fault("scheduler:UpdateSchedule", kind="deny")
    with pytest.raises(AwsError):
        submit_sweep(aws, base, store, sweep, points, environ={})
    [one] = follow_sweep(aws, store, SWEEP)
    assert one.ended
    again = submit_sweep(aws, base, store, sweep, points, environ={})
    assert again is not None
    assert again.number == 2


def test_who_may_not_define_the_job_leaves_nothing_in_the_way(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator
) -> None:
    sweep, points = a_sweep(store, 3)
    emulator.fault("batch:RegisterJobDefinition", kind="deny")
    with pytest.raises(AwsError):
        submit_sweep(aws, base, store, sweep, points, environ={})
    again = submit_sweep(aws, base, store, sweep, points, environ={})
    assert again is not None
    assert again.number == 1


def test_a_client_that_was_killed_while_it_submitted_is_waited_for_and_not_for_ever(
    aws: Aws, base: BaseStack, store: Store, clock: EmulatorClock
) -> None:
    sweep, points = a_sweep(store, 3)
    store.put(children_key(SWEEP, 1), b"")
    with pytest.raises(AwsError, match="Somebody else is submitting"):
        submit_sweep(aws, base, store, sweep, points, environ={})
    clock.sleep(700)
    again = submit_sweep(aws, base, store, sweep, points, environ={})
    assert again is not None
    assert again.number == 2


@pytest.mark.fault(40)
def test_what_never_starts_is_cancelled_after_the_queue_budget(
    aws: Aws, base: BaseStack, store: Store, clock: EmulatorClock
) -> None:
    """FAULTS 40, by whoever follows the sweep."""
    sweep, points = a_sweep(store, 3)
    submit_sweep(aws, base, store, sweep, points, environ={}, queue_budget_s=900.0)
    settle_sweep(aws, base, store, SWEEP)
    assert not follow_sweep(aws, store, SWEEP)[0].ended
    clock.sleep(901)
    settle_sweep(aws, base, store, SWEEP)
    settle_sweep(aws, base, store, SWEEP)
    [record] = load_submissions(store, SWEEP)
    assert [one.ended for one in record.arrays] == ["queue_timed_out"]
    group = base.schedule_group
    assert aws.scheduler.list_schedules(GroupName=group)["Schedules"] == []


def test_a_cost_that_is_capped_shortens_the_notebooks_time(aws: Aws, base: BaseStack, store: Store) -> None:
    sweep, points = a_sweep(store, 100, max_cost=2.0)
    plan = plan_sweep_submission(aws, base, store, sweep, points, environ={})
    assert plan is not None
    assert plan.record.timeout_s <= 600.0
    assert plan.record.most_cost is not None
    assert plan.record.most_cost <= 2
    assert load_submissions(store, SWEEP) == [], "a plan makes nothing"
    with pytest.raises(UsageError, match="too little"):
        submit_sweep(aws, base, store, sweep.model_copy(update={"max_cost": 0.01}), points, environ={})


def test_a_cap_holds_over_all_submissions_of_a_sweep(aws: Aws, base: BaseStack, store: Store) -> None:
    sweep, points = a_sweep(store, 100, max_cost=2.0)
    first = submit_sweep(aws, base, store, sweep, points, environ={})
    assert first is not None
    stop_sweep(aws, base, store, SWEEP)
    for index in range(50):  # lost: nothing tells how long they ran
        put_status(store, child_id(SWEEP, index, 100), State.LOST, aws.now())
    again = plan_sweep_submission(aws, base, store, sweep, points, environ={})
    assert again is not None
    assert first.price_per_hour is not None
    lost = float(first.price_per_hour) * 50 * first.attempt_s / 3600
    assert float(again.spent) == pytest.approx(lost, rel=0.01)
    assert again.record.most_cost is not None
    assert again.spent + again.record.most_cost <= 2
    assert again.record.timeout_s < first.timeout_s


def test_when_the_cap_is_spent_nothing_more_is_submitted(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator
) -> None:
    sweep, points = a_sweep(store, 100, max_cost=2.0)
    first = submit_sweep(aws, base, store, sweep, points, environ={})
    assert first is not None
    stop_sweep(aws, base, store, SWEEP)
    for index in range(100):
        for attempt in (1, 2, 3):  # Batch began each again, as often as it may
            put_status(store, child_id(SWEEP, index, 100, attempt), State.LOST, aws.now())
    with pytest.raises(UsageError, match="Nothing is left of --max-cost 2"):
        submit_sweep(aws, base, store, sweep, points, environ={})
    assert len(emulator.requests(service="batch", operation="SubmitJob")) == 1


def test_batch_is_told_how_often_it_may_repeat(aws: Aws, base: BaseStack, store: Store) -> None:
    sweep, points = a_sweep(store, 100, max_cost=2.0)
    capped = submit_sweep(aws, base, store, sweep, points, environ={})
    assert capped is not None
    assert capped.attempts == 1
    [job] = aws.batch.describe_jobs(jobs=[capped.arrays[0].job_id])["jobs"]
    assert job["retryStrategy"]["attempts"] == 1


def test_status_shows_environments_queues_and_the_jobs_that_are_alive(
    aws: Aws, base: BaseStack, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep, points = a_sweep(store, 3)
    record = submit_sweep(aws, base, store, sweep, points, environ={})
    assert record is not None
    found = load_status(aws, base, Extras(), drift=False)
    assert found.batch is not None
    assert [(one.name, one.kind, one.status, one.max_vcpus) for one in found.batch.environments] == [
        ("dayfly-rehearsal", "EC2", "VALID", 256),
        ("dayfly-rehearsal-spot", "SPOT", "VALID", 256),
    ]
    assert [one.state for one in found.batch.queues] == ["ENABLED", "ENABLED"]
    [job] = found.batch.jobs
    assert (job.sweep_id, job.counts, job.deadline) == (
        SWEEP,
        {"RUNNABLE": 3},
        f"{record.deadline:%Y-%m-%dT%H:%M:%SZ}",
    )
    assert json.loads(json.dumps(asdict(found.batch)))["jobs"][0]["sweep_id"] == SWEEP
    draw_status(open_console(), found)
    shown = " ".join(capsys.readouterr().out.split())
    assert "dayfly-rehearsal-spot (SPOT): ENABLED, VALID, 0 of 256 vCPUs" in shown
    assert f"{SWEEP} 3 RUNNABLE" in shown
    stop_sweep(aws, base, store, SWEEP)
    after = load_batch_status(aws, base)
    assert after is not None
    assert after.jobs == ()


def test_who_may_not_look_at_batch_is_told_so_and_sees_the_rest(
    aws: Aws, base: BaseStack, emulator: Emulator
) -> None:
    emulator.fault("batch:DescribeComputeEnvironments", kind="deny", times=-1)
    found = load_batch_status(aws, base)
    assert found is not None
    assert found.problem
    assert found.environments == ()


def test_a_batch_that_does_not_answer_is_said_beside_all_the_rest(
    aws: Aws, base: BaseStack, emulator: Emulator
) -> None:
    emulator.fault("batch:DescribeJobQueues", code="ClientException", message="Rate exceeded", status=400)
    found = load_status(aws, base, Extras(), drift=False)
    assert found.batch is not None
    assert "ClientException" in found.batch.problem
    assert found.storage.objects == 0


def test_without_batch_the_command_that_adds_it_is_named(aws: Aws, emulator: Emulator) -> None:
    bare = base_stack(aws)
    assert load_batch_status(aws, bare) is None
    bucket = open_bucket(bare.bucket, region=bare.region)
    sweep, points = a_sweep(bucket, 3)
    with pytest.raises(UsageError) as refused:
        submit_sweep(aws, bare, bucket, sweep, points, environ={})
    assert "dayfly cloud up --batch" in refused.value.hint


def test_who_submits_runs_may_submit_sweeps_with_the_second_policy_only(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator, as_role: Callable[[str], Aws]
) -> None:
    """SECURITY 9: on an emulator that enforces policies."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    arn = aws.iam.create_role(RoleName="ada", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    plain = json.dumps(user_policy(PROJECT, ACCOUNT, aws.region))
    aws.iam.put_role_policy(RoleName="ada", PolicyName="user", PolicyDocument=plain)
    sweep, points = a_sweep(store, 3)
    with pytest.raises(AwsError) as refused:
        submit_sweep(as_role(arn), base, store, sweep, points, environ={})
    assert refused.value.code.startswith("AccessDenied")
    more = json.dumps(batch_user_policy(PROJECT, ACCOUNT, aws.region))
    aws.iam.put_role_policy(RoleName="ada", PolicyName="batch", PolicyDocument=more)
    ada = as_role(arn)
    assert submit_sweep(ada, base, store, sweep, points, environ={}) is not None
    assert len(stop_sweep(ada, base, store, SWEEP)) == 1


def test_the_reaper_ends_a_sweep_that_is_past_its_deadline_and_down_waits_for_it(
    aws: Aws, base: BaseStack, store: Store, clock: EmulatorClock
) -> None:
    sweep, points = a_sweep(store, 3)
    record = submit_sweep(aws, base, store, sweep, points, environ={}, queue_budget_s=10 * 3600.0)
    assert record is not None
    aws.batch.update_job_queue(jobQueue=base.batch_queue.rpartition("/")[2], jobStateTimeLimitActions=[])
    aws.scheduler.delete_schedule(Name=record.arrays[0].schedule, GroupName=base.schedule_group)
    with pytest.raises(RunConflictError, match="sweeps"):
        plan_down(aws, PROJECT, ACCOUNT, delete_data=False, force=False)
    assert [one for one in plan_reap(aws, PROJECT).overdue if one.kind == "batch job"] == []
    clock.sleep((record.deadline - aws.now()).total_seconds() + 660)
    plan = plan_reap(aws, PROJECT)
    assert [(one.kind, one.name, one.machine_id) for one in plan.overdue] == [
        ("batch job", record.arrays[0].job_id, SWEEP)
    ]
    assert [one.problem for one in apply_reap(aws, PROJECT, plan)] == [""]
    assert follow_sweep(aws, store, SWEEP)[0].counts == {"FAILED": 3}
    assert plan_down(aws, PROJECT, ACCOUNT, delete_data=False, force=False).stack is not None

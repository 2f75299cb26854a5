"""A SubmitJob that is interrupted, or whose answer is lost: no job is there that nobody knows of."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dayfly.aws.base import BaseStack
from dayfly.aws.batch import plan_sweep_submission, settle_sweep, stop_sweep, submit_sweep
from dayfly.aws.batch_follow import follow_sweep
from dayfly.aws.client import Aws
from dayfly.errors import AwsError
from dayfly.rehearsal.emulator import Emulator
from dayfly.runs.batch_record import ArrayJob, load_submissions
from dayfly.runs.store import Store
from tests.cloud.conftest import EmulatorClock
from tests.cloud.test_batch_submission import SWEEP, a_sweep, base, store

__all__ = ["base", "store"]


class InterruptedBatch:
    """A client of Batch whose user gives Ctrl-C while it submits."""

    def __init__(self, client: Any, after: Callable[[], None]) -> None:
        self._client = client
        self._after = after

    def submit_job(self, **asked: Any) -> Any:
        """The job is there; its answer comes back after the Ctrl-C."""
        made = self._client.submit_job(**asked)
        self._after()
        return made


def interrupted(aws: Aws) -> Aws:
    client = InterruptedBatch(aws.batch, lambda: signal.raise_signal(signal.SIGINT))
    return replace(aws, _clients={**aws._clients, ("batch-once", aws.region): client})


def arrays(store: Store) -> tuple[ArrayJob, ...]:
    return load_submissions(store, SWEEP)[-1].arrays


def aimed_at(aws: Aws, base: BaseStack, array: ArrayJob) -> str:
    said = aws.scheduler.get_schedule(Name=array.schedule, GroupName=base.schedule_group)
    job_id: str = json.loads(said["Target"]["Input"])["JobId"]
    return job_id


def submitted(emulator: Emulator) -> int:
    return len(emulator.requests(service="batch", operation="SubmitJob"))


def test_a_ctrl_c_while_batch_is_asked_is_heeded_when_the_job_is_known_and_aimed_at(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator
) -> None:
    sweep, points = a_sweep(store, 25_000)
    with pytest.raises(KeyboardInterrupt):
        submit_sweep(interrupted(aws), base, store, sweep, points, environ={})
    first, *others = arrays(store)
    assert submitted(emulator) == 1
    assert aimed_at(aws, base, first) == first.job_id != ""
    assert [one.ended for one in others] == ["never_submitted", "never_submitted"]
    plan = plan_sweep_submission(aws, base, store, sweep, points, environ={})
    assert plan is not None
    assert len(plan.wanted) == 15_000, "those of the job that is there are not open"
    assert [one.array.name for one in stop_sweep(aws, base, store, SWEEP)] == [first.name]


def test_a_job_whose_answer_is_lost_is_found_by_its_name_and_made_once(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator
) -> None:
    sweep, points = a_sweep(store, 3)
    emulator.fault("batch:SubmitJob", after=True)
    record = submit_sweep(aws, base, store, sweep, points, environ={})
    assert record is not None
    assert submitted(emulator) == 1
    assert aimed_at(aws, base, record.arrays[0]) == record.arrays[0].job_id != ""
    assert arrays(store) == record.arrays


def test_what_batch_did_not_take_up_is_asked_for_again(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator
) -> None:
    sweep, points = a_sweep(store, 3)
    emulator.fault("batch:SubmitJob", kind="throttle", times=2)
    assert submit_sweep(aws, base, store, sweep, points, environ={}) is not None
    assert submitted(emulator) == 3
    assert len(follow_sweep(aws, store, SWEEP)) == 1


def test_a_refusal_leaves_nothing_in_the_way(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator
) -> None:
    sweep, points = a_sweep(store, 3)
    emulator.fault("batch:SubmitJob", kind="deny")
    with pytest.raises(AwsError):
        submit_sweep(aws, base, store, sweep, points, environ={})
    assert [one.ended for one in arrays(store)] == ["never_submitted"]
    again = submit_sweep(aws, base, store, sweep, points, environ={})
    assert again is not None
    assert again.number == 2


def lose(emulator: Emulator, *, taken: bool) -> None:
    """Let a submission get no answer, and Batch not say by then whether it took it."""
    emulator.fault("batch:SubmitJob", after=taken)
    emulator.fault("batch:ListJobs", kind="deny")


@pytest.fixture
def unanswered(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator, request: pytest.FixtureRequest
) -> Any:
    """A sweep with a cap whose job Batch has, or has not, without anybody's knowing it."""
    sweep, points = a_sweep(store, 3, max_cost=2.0)
    lose(emulator, taken=request.param)
    with pytest.raises(AwsError, match="not answered whether it took"):
        submit_sweep(aws, base, store, sweep, points, environ={})
    assert [(one.job_id, one.ended) for one in arrays(store)] == [("", "")]
    return sweep, points


@pytest.mark.parametrize("unanswered", [True], indirect=True)
def test_whoever_follows_takes_up_a_job_that_was_not_answered_and_aims_its_deadline(
    aws: Aws, base: BaseStack, store: Store, unanswered: Any
) -> None:
    del unanswered
    [one] = settle_sweep(aws, base, store, SWEEP)
    assert (one.status, one.counts) == ("PENDING", {"RUNNABLE": 3})
    [array] = arrays(store)
    assert aimed_at(aws, base, array) == array.job_id == one.array.job_id


@pytest.mark.parametrize("unanswered", [True], indirect=True)
def test_stop_ends_a_job_that_was_not_answered(
    aws: Aws, base: BaseStack, store: Store, unanswered: Any
) -> None:
    del unanswered
    assert len(stop_sweep(aws, base, store, SWEEP)) == 1
    assert follow_sweep(aws, store, SWEEP)[0].counts == {"FAILED": 3}


@pytest.mark.parametrize("unanswered", [True], indirect=True)
def test_the_points_of_a_job_that_was_not_answered_are_not_submitted_again(
    aws: Aws, base: BaseStack, store: Store, unanswered: Any, emulator: Emulator
) -> None:
    sweep, points = unanswered
    assert submit_sweep(aws, base, store, sweep, points, environ={}) is None
    assert submitted(emulator) == 1


@pytest.mark.parametrize("unanswered", [False], indirect=True)
def test_what_batch_never_took_is_open_again_when_it_was_looked_for_long_enough(
    aws: Aws, base: BaseStack, store: Store, unanswered: Any, clock: EmulatorClock
) -> None:
    sweep, points = unanswered
    assert plan_sweep_submission(aws, base, store, sweep, points, environ={}) is None
    assert not settle_sweep(aws, base, store, SWEEP)[0].ended, "it may come yet"
    clock.sleep(700)
    again = submit_sweep(aws, base, store, sweep, points, environ={})
    assert again is not None
    assert (again.number, [one.ended for one in load_submissions(store, SWEEP)[0].arrays]) == (
        2,
        ["never_submitted"],
    )


def test_a_job_that_was_made_twice_stays_once(
    aws: Aws, base: BaseStack, store: Store, emulator: Emulator
) -> None:
    """By a call that was repeated below us."""
    sweep, points = a_sweep(store, 3)

    class Doubling:
        def submit_job(self, **asked: Any) -> Any:
            aws.batch.submit_job(**asked)
            aws.batch.submit_job(**asked)
            raise AwsError("cut off", code="ReadTimeoutError")

    doubling = replace(aws, _clients={**aws._clients, ("batch-once", aws.region): Doubling()})
    record = submit_sweep(doubling, base, store, sweep, points, environ={})
    assert record is not None
    queue = record.queue
    alive = aws.batch.list_jobs(jobQueue=queue, jobStatus="PENDING")["jobSummaryList"]
    assert [one["jobId"] for one in alive] == [record.arrays[0].job_id]
    assert submitted(emulator) == 2

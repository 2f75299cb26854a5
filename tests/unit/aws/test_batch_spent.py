"""What a sweep on Batch has cost at most, by what its attempts left in the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from dayfly.aws.batch_follow import ArrayStatus
from dayfly.aws.batch_spent import STARTING_S, BegunIn, measure_attempts, spent_on
from dayfly.runs.batch_record import ArrayJob, BatchSubmission
from dayfly.runs.state import State
from dayfly.runs.store import Store, open_store
from dayfly.runs.sweep import SweepRequest
from tests.unit.aws.batch_support import ATTEMPT_S, POINTS, PRICE, last_word, submission
from tests.unit.runs.sweep_stores import put_point, put_sweep
from tests.unit.support import NOW


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def sweep(store: Store) -> SweepRequest:
    return put_sweep(store, POINTS)


def status(record: BatchSubmission, array: ArrayJob, said: str) -> ArrayStatus:
    return ArrayStatus(array=array, submission=record, status=said)


def nothing_to_ask(job_ids: Sequence[str]) -> dict[str, int]:
    raise AssertionError(job_ids)


def spent(
    store: Store, sweep: SweepRequest, followed: Sequence[ArrayStatus], begun_in: BegunIn = nothing_to_ask
) -> Decimal:
    return spent_on(store, sweep.sweep_id, 4, followed, begun_in, now=NOW)


def test_an_attempt_lasts_from_its_runners_first_moment_until_all_is_saved(
    store: Store, sweep: SweepRequest
) -> None:
    run_id = put_point(store, sweep, 0, duration_s=100.0)
    last_word(store, run_id, NOW + timedelta(seconds=140))
    [one] = measure_attempts(store, sweep.sweep_id, 4, [submission(store, sweep)], now=NOW)
    assert one.over
    assert one.seconds == pytest.approx(140 + STARTING_S)
    assert one.dollars == pytest.approx(Decimal("2.00"))


def test_one_of_which_nothing_tells_has_lasted_as_long_as_it_may(store: Store, sweep: SweepRequest) -> None:
    run_id = put_point(store, sweep, 0, State.RUNNING)
    last_word(store, run_id, NOW)
    [one] = measure_attempts(
        store, sweep.sweep_id, 4, [submission(store, sweep)], now=NOW + timedelta(hours=3)
    )
    assert one.state is State.LOST
    assert one.seconds == ATTEMPT_S


def test_none_lasts_longer_than_batch_lets_it(store: Store, sweep: SweepRequest) -> None:
    run_id = put_point(store, sweep, 0, duration_s=100.0)
    last_word(store, run_id, NOW + timedelta(days=3))
    [one] = measure_attempts(store, sweep.sweep_id, 4, [submission(store, sweep)], now=NOW)
    assert one.seconds == ATTEMPT_S


def test_each_attempt_is_paid_at_the_price_of_its_own_submission(store: Store, sweep: SweepRequest) -> None:
    first = submission(store, sweep)
    second = submission(store, sweep, [(1, 3), (2, 1)], number=2, price=PRICE * 2)
    for attempt in (1, 2, 3):  # Batch began point 1 twice itself, and we once more
        put_point(store, sweep, 1, attempt=attempt)
    found = measure_attempts(store, sweep.sweep_id, 4, [first, second], now=NOW)
    assert [one.record.number for one in sorted(found, key=lambda one: one.run_id)] == [1, 1, 2]


def test_what_goes_on_counts_by_its_bound_and_what_has_ended_by_its_attempts(
    store: Store, sweep: SweepRequest
) -> None:
    record = submission(store, sweep)
    for index in range(4):
        last_word(store, put_point(store, sweep, index, duration_s=40.0), NOW + timedelta(seconds=40))
    ended, alive = (
        status(record, array, said) for array, said in zip(record.arrays, ("FAILED", "RUNNING"), strict=True)
    )
    assert spent(store, sweep, [ended, alive]) == pytest.approx(2 * Decimal("1.00") + 2 * PRICE)


def test_a_job_that_was_not_answered_counts_by_its_bound_until_it_is_known_to_be_absent(
    store: Store, sweep: SweepRequest
) -> None:
    record = submission(store, sweep)
    unanswered = record.arrays[0].model_copy(update={"job_id": ""})
    absent = unanswered.model_copy(update={"ended": "never_submitted"})
    assert spent(store, sweep, [status(record, unanswered, "")]) == 2 * PRICE
    assert spent(store, sweep, [status(record, absent, "")]) == 0


FULL = PRICE * Decimal(ATTEMPT_S) / 3600
"""Dollars of an attempt that took all of its time."""


def test_an_attempt_before_the_newest_one_counts_in_full_when_nothing_tells_of_it(
    store: Store, sweep: SweepRequest
) -> None:
    """Its machine was taken back before it could say anything."""
    record = submission(store, sweep, [(0, 1), (1, 1)])
    for index, attempt in ((0, 2), (1, 1)):
        run_id = put_point(store, sweep, index, attempt=attempt, duration_s=40.0)
        last_word(store, run_id, NOW + timedelta(seconds=40))
    found = measure_attempts(store, sweep.sweep_id, 4, [record], now=NOW)
    assert [(one.index, one.number, one.seconds) for one in found if one.state is State.LOST] == [
        (0, 1, ATTEMPT_S)
    ]
    assert spent(store, sweep, [status(record, record.arrays[0], "SUCCEEDED")]) == pytest.approx(2 + FULL)


def test_what_batch_has_begun_of_an_ended_job_counts_in_full_where_nothing_tells_of_it(
    store: Store, sweep: SweepRequest
) -> None:
    record = submission(store, sweep, [(0, 1), (1, 1)])
    last_word(store, put_point(store, sweep, 0, State.RUNNING), NOW - timedelta(hours=3))  # lost
    ended = [status(record, record.arrays[0], "FAILED")]
    asked: list[str] = []

    def begun_in(job_ids: Sequence[str]) -> dict[str, int]:
        asked.extend(job_ids)
        return {"1-0:0": 3, "1-0:1": 1}

    assert spent(store, sweep, ended, begun_in) == pytest.approx((1 + 2 + 1) * FULL)
    assert asked == ["1-0:0", "1-0:1"]
    assert spent(store, sweep, ended, lambda _: {"1-0:0": 1, "1-0:1": 0}) == pytest.approx(FULL)


def test_what_batch_has_forgotten_counts_in_full(store: Store, sweep: SweepRequest) -> None:
    record = submission(store, sweep, [(0, 1), (1, 1)])
    ended = [status(record, record.arrays[0], "")]
    assert spent(store, sweep, ended, lambda _: {}) == 2 * record.attempts * FULL


def test_a_point_that_told_its_end_is_not_asked_about(store: Store, sweep: SweepRequest) -> None:
    record = submission(store, sweep, [(0, 1), (1, 1)])
    for index, state in ((0, State.SUCCEEDED), (1, State.FAILED)):
        last_word(store, put_point(store, sweep, index, state, duration_s=40.0), NOW + timedelta(seconds=40))
    assert spent(store, sweep, [status(record, record.arrays[0], "FAILED")]) == pytest.approx(2)

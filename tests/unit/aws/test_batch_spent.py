"""What a sweep on Batch has cost at most, by what its attempts left in the store."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from dayfly.aws.batch_follow import ArrayStatus
from dayfly.aws.batch_spent import STARTING_S, measure_attempts, spent_on
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
    spent = spent_on(store, sweep.sweep_id, 4, [ended, alive], now=NOW)
    assert spent == pytest.approx(2 * Decimal("1.00") + 2 * PRICE)


def test_a_job_that_batch_never_took_costs_nothing(store: Store, sweep: SweepRequest) -> None:
    record = submission(store, sweep)
    array = record.arrays[0].model_copy(update={"job_id": ""})
    assert spent_on(store, sweep.sweep_id, 4, [status(record, array, "")], now=NOW) == 0

"""Which points of a sweep are open, told from a listing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dayfly.errors import DamagedFileError
from dayfly.runs import ids, layout
from dayfly.runs.catalog import STALE_AFTER
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store, open_store
from dayfly.runs.sweep import Point, SweepRequest
from dayfly.runs.sweep_states import ask_again, list_attempts, load_again, open_points
from tests.unit.support import NOW, RUN_ID, make_request, recording_store

COUNT = 12
OTHER = RUN_ID[:-1] + "b"


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store("memory://" if request.param == "memory" else tmp_path)


def make_sweep(count: int = COUNT) -> SweepRequest:
    return SweepRequest(
        sweep_id=RUN_ID,
        created=NOW,
        run=make_request(),
        notebook_sha256="0",
        base="0",
        count=count,
        points_sha256="0",
        names=("a",),
    )


def put_point(store: Store, index: int, state: State, attempt: int = 1) -> str:
    run_id = ids.child_id(RUN_ID, index, COUNT, attempt)
    put_status(store, run_id, state, NOW)
    return run_id


def open_of(
    store: Store, points: list[Point] | None = None, later: timedelta = timedelta()
) -> list[tuple[int, int]]:
    attempts = list_attempts(store, RUN_ID, COUNT, now=datetime.now(UTC) + later)
    points = points or [Point(parameters={"a": index}) for index in range(COUNT)]
    return open_points(make_sweep(), points, attempts, load_again(store, RUN_ID))


def test_only_runs_of_this_sweep_are_listed(store: Store) -> None:
    for run_id in (RUN_ID, OTHER, f"{OTHER}.03", f"{RUN_ID[:-4]}0000.01"):
        put_status(store, run_id, State.SUCCEEDED, NOW)
    run_id = put_point(store, 3, State.SUCCEEDED)
    attempts = list_attempts(store, RUN_ID, COUNT)
    assert list(attempts) == [3]
    assert attempts[3].run_id == run_id
    assert attempts[3].state is State.SUCCEEDED
    assert abs(attempts[3].modified - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_newest_attempt_stands_for_the_point(store: Store) -> None:
    put_point(store, 3, State.LOST)
    put_point(store, 3, State.INTERRUPTED, attempt=10)
    put_point(store, 3, State.FAILED, attempt=9)
    attempt = list_attempts(store, RUN_ID, COUNT)[3]
    assert (attempt.number, attempt.state, attempt.settled) == (10, State.INTERRUPTED, 1)


def test_an_empty_store_has_no_attempts(store: Store) -> None:
    assert list_attempts(store, RUN_ID, COUNT) == {}
    assert open_of(store) == [(index, 1) for index in range(COUNT)]


def test_a_run_whose_heart_stands_still_is_lost_and_open() -> None:
    store = open_store("memory://")
    put_point(store, 3, State.RUNNING)
    assert 3 not in dict(open_of(store))
    assert dict(open_of(store, later=2 * STALE_AFTER))[3] == 2


def test_a_run_that_could_not_say_that_it_succeeded_is_settled() -> None:
    store = open_store("memory://")
    run_id = put_point(store, 3, State.RUNNING)
    store.put(layout.run_key(run_id, layout.RESULT), b'{"state": "succeeded"}')
    assert 3 not in dict(open_of(store, later=2 * STALE_AFTER))


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.TIMED_OUT])
def test_what_ended_by_the_notebooks_own_doing_is_settled(store: Store, state: State) -> None:
    put_point(store, 3, state)
    assert 3 not in dict(open_of(store))


@pytest.mark.parametrize("state", [State.LOST, State.INTERRUPTED, State.CANCELLED, State.NEVER_STARTED])
def test_what_ended_otherwise_is_open(store: Store, state: State) -> None:
    put_point(store, 3, state)
    assert dict(open_of(store))[3] == 2


def test_a_point_asked_for_again_is_open_until_it_is_settled_again(store: Store) -> None:
    put_point(store, 3, State.LOST)
    put_point(store, 3, State.FAILED, attempt=2)
    ask_again(store, RUN_ID, [3, 4], NOW)
    assert dict(open_of(store))[3] == 3
    assert dict(open_of(store))[4] == 1
    put_point(store, 3, State.INTERRUPTED, attempt=3)
    assert dict(open_of(store))[3] == 4
    put_point(store, 3, State.SUCCEEDED, attempt=4)
    assert 3 not in dict(open_of(store))


def test_a_point_with_the_run_of_an_earlier_sweep_is_never_open(store: Store) -> None:
    points = [Point(run=f"{OTHER}.1") for _ in range(COUNT)]
    ask_again(store, RUN_ID, [0], NOW)
    assert open_of(store, points) == []


def test_asking_again_counts_up_and_overwrites_nothing(store: Store) -> None:
    keys = [ask_again(store, RUN_ID, [index, index], NOW) for index in (1, 1, 2)]
    assert keys == [layout.sweep_key(RUN_ID, f"again/{number}.json") for number in ("001", "002", "003")]
    assert load_again(store, RUN_ID) == {1: 2, 2: 1}


def test_what_asks_again_and_is_damaged_is_told(store: Store) -> None:
    store.put(ask_again(store, RUN_ID, [1], NOW), b"{}")
    with pytest.raises(DamagedFileError, match="again/001"):
        load_again(store, RUN_ID)


def test_runs_that_have_ended_are_not_read() -> None:
    store = recording_store()
    for index in range(COUNT):
        put_point(store, index, State.SUCCEEDED)
    store.calls.clear()
    list_attempts(store, RUN_ID, COUNT)
    assert [call[0] for call in store.calls] == ["list"]

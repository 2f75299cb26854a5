"""What a pool has to do, and how often it tries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dayfly.backends.pool import available_cpus, available_memory_bytes, default_jobs
from dayfly.backends.pool_work import Work
from dayfly.runs import layout
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest
from tests.unit.support import NOW, RUN_ID, make_request, recording_store


def _work(store: Store, *, retries: int = 0) -> Work:
    sweep = SweepRequest(
        sweep_id=RUN_ID,
        created=NOW,
        run=make_request(),
        notebook_sha256="",
        base="",
        count=3,
        points_sha256="",
        names=("n",),
        retries=retries,
    )
    return Work(store=store, sweep=sweep, points=[Point(parameters={"n": n}) for n in range(3)])


def _ask_again(store: Store, number: int, *indices: int) -> None:
    key = layout.sweep_key(RUN_ID, f"again/{number:03d}.json")
    store.put(key, json.dumps({"indices": indices}).encode())


def test_what_nobody_has_begun_is_open() -> None:
    work = _work(recording_store())
    work.refresh(set())
    assert list(work.queue) == [(0, 1), (1, 1), (2, 1)]


def test_what_is_being_run_is_not_begun_again() -> None:
    work = _work(recording_store())
    work.refresh({1})
    assert list(work.queue) == [(0, 1), (2, 1)]


@pytest.mark.parametrize("state", [State.LOST, State.INTERRUPTED, State.NEVER_STARTED, None])
def test_what_is_worth_it_is_tried_as_often_as_was_asked(state: State | None) -> None:
    store = recording_store()
    work = _work(store, retries=2)
    work.ended(1, 1, state)
    work.ended(1, 2, state)
    assert list(work.queue) == [(1, 2), (1, 3)]
    work.ended(1, 3, state)
    assert list(work.queue) == [(1, 2), (1, 3)]
    put_status(store, f"{RUN_ID}.1.3", State.LOST, NOW)
    work.refresh(set())
    assert list(work.queue) == [(0, 1), (2, 1)]


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED])
def test_what_would_come_to_the_same_is_not_tried_again(state: State) -> None:
    work = _work(recording_store(), retries=2)
    work.ended(1, 1, state)
    assert not work.queue


def test_a_point_that_was_given_up_is_run_when_it_is_asked_for() -> None:
    store = recording_store()
    work = _work(store)
    for index in range(3):
        put_status(store, f"{RUN_ID}.{index}", State.CANCELLED, NOW)
        work.ended(index, 1, State.CANCELLED)
    work.refresh(set())
    assert not work.queue
    _ask_again(store, 1, 2)
    work.refresh(set())
    assert list(work.queue) == [(2, 2)]


def test_attempts_of_others_are_counted() -> None:
    store = recording_store()
    work = _work(store)
    put_status(store, f"{RUN_ID}.0", State.RUNNING, datetime.now(UTC))
    work.refresh(set())
    assert (work.elsewhere, list(work.queue)) == (1, [(1, 1), (2, 1)])
    work.refresh({0})
    assert work.elsewhere == 0


def test_jobs_are_what_cores_and_memory_bear() -> None:
    assert default_jobs(None, None) >= 1
    assert default_jobs(available_cpus() / 2, 1) == 2
    assert default_jobs(0.001, available_memory_bytes() // 3) in {2, 3, 4}
    assert default_jobs(1000.0, 1 << 60) == 1


def test_what_a_container_has_read_is_memory_that_can_be_had(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("400000000\n")
    (tmp_path / "memory.current").write_text("390000000\n")
    (tmp_path / "memory.stat").write_text("anon 40000000\ninactive_file 350000000\n")
    assert available_memory_bytes(tmp_path) == 360_000_000

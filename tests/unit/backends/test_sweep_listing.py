"""Runs and sweeps as one list, and what it costs to make it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.backends.sweep_listing import list_with_sweeps
from dayfly.runs import ids, layout
from dayfly.runs.catalog import SweepCounts
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import open_store
from dayfly.runs.sweep import Point
from tests.unit.runs.sweep_stores import put_point, put_sweep
from tests.unit.support import NOW, RecordingStore

POINTS = [Point(parameters={"a": a}) for a in range(3)]


@pytest.fixture
def store() -> RecordingStore:
    """A store that is far away, as far as who uses it knows."""
    return RecordingStore(objects=open_store("memory://").objects, url="s3://bucket")


def sweep_of(store: RecordingStore, *states: State, days_ago: int = 0) -> str:
    """A sweep whose points stand so."""
    sweep_id = ids.new_run_id("nb", NOW - timedelta(days=days_ago))
    sweep = put_sweep(store, POINTS, sweep_id)
    for index, state in enumerate(states):
        put_point(store, sweep, index, state)
    return sweep_id


def test_one_listing_of_the_status_objects_tells_of_all_sweeps(store: RecordingStore) -> None:
    made = [sweep_of(store, *[State.SUCCEEDED] * 2, State.FAILED, days_ago=days) for days in range(5)]
    store.calls.clear()
    listed = list_with_sweeps(store, now=NOW)
    assert [run.run_id for run in listed] == made
    assert {run.counts for run in listed} == {SweepCounts(points=3, done=3, failed=1)}
    assert store.calls.count(("list", layout.STATUS)) == 1


def test_a_sweep_that_the_listing_of_the_newest_does_not_reach_is_looked_at_itself(
    store: RecordingStore,
) -> None:
    """Runs of a sweep that is gone stand before it in the listing, and fill it."""
    old = sweep_of(store, *[State.SUCCEEDED] * 3, days_ago=300)
    put_status(store, f"{ids.new_run_id('gone', NOW)}.1", State.SUCCEEDED, NOW)
    (listed,) = list_with_sweeps(store, newest=1, now=NOW)
    assert (listed.run_id, listed.state) == (old, State.SUCCEEDED)


def test_only_the_newest_are_looked_at(store: RecordingStore) -> None:
    made = [sweep_of(store, *[State.SUCCEEDED] * 3, days_ago=days) for days in range(4)]
    run_id = ids.new_run_id("alone", NOW - timedelta(hours=1))
    put_status(store, run_id, State.SUCCEEDED, NOW)
    store.calls.clear()
    assert [run.run_id for run in list_with_sweeps(store, newest=2, now=NOW)] == [made[0], run_id]
    assert ("get", layout.sweep_key(made[1], layout.SWEEP)) not in store.calls


def test_a_sweep_that_was_removed_meanwhile_is_not_listed(store: RecordingStore) -> None:
    sweep_id = sweep_of(store, *[State.SUCCEEDED] * 3)

    class Removing(RecordingStore):
        def get(self, key: str) -> bytes | None:
            self.delete([layout.sweep_key(sweep_id, layout.SWEEP)])
            return super().get(key)

    assert list_with_sweeps(Removing(objects=store.objects, url=store.url), now=NOW) == []

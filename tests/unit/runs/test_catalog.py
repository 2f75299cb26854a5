from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dayfly.errors import RunNotFoundError
from dayfly.runs import ids, layout
from dayfly.runs.catalog import (
    PROVISION_WITHIN,
    STALE_AFTER,
    TAKE_UP_WITHIN,
    find_run_id,
    find_summary,
    list_runs,
    state_of,
)
from dayfly.runs.lock import acquire_lock
from dayfly.runs.state import State
from dayfly.runs.store import Store, open_store
from tests.unit.support import RUN_ID, make_result, put_run, recording_store

SOON = datetime.now(UTC)
"""When the tests write; heartbeats carry the store's own clock."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


@pytest.fixture
def held_lock(store: Store) -> Iterator[None]:
    """A runner that lives has the run."""
    run_dir = store.path(layout.run_prefix(RUN_ID))
    assert run_dir is not None
    run_dir.mkdir(parents=True)
    descriptor = acquire_lock(run_dir)
    yield
    os.close(descriptor)


def leave_lock(store: Store) -> None:
    """A runner had the run and is gone."""
    run_dir = store.path(layout.run_prefix(RUN_ID))
    assert run_dir is not None
    run_dir.mkdir(parents=True, exist_ok=True)
    os.close(acquire_lock(run_dir))


def put_result(store: Store, state: State) -> None:
    store.put(layout.run_key(RUN_ID, layout.RESULT), make_result(state=state).to_bytes())


class TestTheStateOfARunOnThisMachine:
    def test_a_runner_that_holds_the_lock_is_believed(self, store: Store, held_lock: None) -> None:
        put_run(store, state=State.RUNNING)
        assert state_of(store, RUN_ID) is State.RUNNING

    def test_it_is_believed_however_long_it_was_silent(self, store: Store, held_lock: None) -> None:
        """A laptop that slept: the lock proves that the runner lives."""
        put_run(store, state=State.RUNNING)
        assert state_of(store, RUN_ID, now=SOON + timedelta(days=3)) is State.RUNNING

    def test_a_run_whose_runner_is_gone_is_lost_at_once(self, store: Store) -> None:
        put_run(store, state=State.RUNNING)
        leave_lock(store)
        assert state_of(store, RUN_ID) is State.LOST

    def test_a_runner_that_left_a_result_ended_as_that_says(self, store: Store) -> None:
        """It was killed between its result and its last heartbeat."""
        put_run(store, state=State.SAVING)
        leave_lock(store)
        put_result(store, State.FAILED)
        assert state_of(store, RUN_ID) is State.FAILED

    def test_a_result_that_is_damaged_says_nothing(self, store: Store) -> None:
        put_run(store, state=State.SAVING)
        leave_lock(store)
        store.put(layout.run_key(RUN_ID, layout.RESULT), b'{"state": "splendid"}')
        assert state_of(store, RUN_ID) is State.LOST

    def test_a_run_may_take_a_moment_to_be_taken_up(self, store: Store) -> None:
        put_run(store, state=State.REQUESTED)
        assert state_of(store, RUN_ID, now=SOON + TAKE_UP_WITHIN / 2) is State.REQUESTED

    def test_a_run_that_nobody_took_up_never_started(self, store: Store) -> None:
        put_run(store, state=State.REQUESTED)
        late = datetime.now(UTC) + TAKE_UP_WITHIN
        assert state_of(store, RUN_ID, now=late) is State.NEVER_STARTED

    def test_a_runner_on_another_machine_is_known_by_its_heartbeat(self, store: Store) -> None:
        """A store on a shared disk: a lock says nothing across machines."""
        put_run(store, state=State.RUNNING)
        leave_lock(store)
        store.put(layout.run_key(RUN_ID, layout.LOCK), b'{"host": "elsewhere", "pid": 1}')
        assert state_of(store, RUN_ID) is State.RUNNING
        assert state_of(store, RUN_ID, now=datetime.now(UTC) + STALE_AFTER) is State.LOST


class TestTheStateOfARunElsewhere:
    """In memory as in S3: there is no lock to ask, only heartbeats."""

    def test_a_run_with_a_fresh_heartbeat_is_believed(self) -> None:
        store = open_store("memory://")
        put_run(store, state=State.RUNNING)
        assert state_of(store, RUN_ID) is State.RUNNING

    def test_a_run_without_a_heartbeat_for_long_is_lost(self) -> None:
        store = open_store("memory://")
        put_run(store, state=State.RUNNING)
        assert state_of(store, RUN_ID, now=datetime.now(UTC) + STALE_AFTER) is State.LOST

    def test_a_run_that_nobody_took_up_never_started(self) -> None:
        store = open_store("memory://")
        put_run(store, state=State.REQUESTED)
        assert state_of(store, RUN_ID) is State.REQUESTED
        assert state_of(store, RUN_ID, now=datetime.now(UTC) + STALE_AFTER) is State.NEVER_STARTED

    def test_a_result_that_came_without_its_heartbeat_counts(self) -> None:
        store = open_store("memory://")
        put_run(store, state=State.SAVING)
        put_result(store, State.SUCCEEDED)
        assert state_of(store, RUN_ID, now=datetime.now(UTC) + STALE_AFTER) is State.SUCCEEDED

    def test_a_machine_may_take_its_time_until_it_tells_of_itself(self) -> None:
        """Nobody beats for it before it boots."""
        store = open_store("memory://")
        put_run(store, state=State.PROVISIONING)
        assert state_of(store, RUN_ID, now=SOON + PROVISION_WITHIN * 0.9) is State.PROVISIONING
        late = datetime.now(UTC) + PROVISION_WITHIN
        assert state_of(store, RUN_ID, now=late) is State.NEVER_STARTED
        assert [run.state for run in list_runs(store, now=late)] == [State.NEVER_STARTED]

    @pytest.mark.parametrize("state", [State.BOOTING, State.PULLING])
    def test_a_machine_that_falls_silent_before_its_notebook_began_never_started(self, state: State) -> None:
        store = open_store("memory://")
        put_run(store, state=state)
        assert state_of(store, RUN_ID) is state
        late = datetime.now(UTC) + STALE_AFTER
        assert state_of(store, RUN_ID, now=late) is State.NEVER_STARTED
        assert [run.state for run in list_runs(store, now=late)] == [State.NEVER_STARTED]

    def test_a_machine_that_dies_between_its_runners_first_words_and_the_beat_that_tells_of_it_is_lost(
        self,
    ) -> None:
        store = open_store("memory://")
        put_run(store, state=State.PULLING)
        store.put(layout.run_key(RUN_ID, f"{layout.EVENTS}/000000000000.jsonl"), b"{}\n")
        assert state_of(store, RUN_ID) is State.PULLING
        assert state_of(store, RUN_ID, now=datetime.now(UTC) + STALE_AFTER) is State.LOST

    def test_a_machine_that_could_not_boot_but_left_a_result_is_what_that_says(self) -> None:
        store = open_store("memory://")
        put_run(store, state=State.PULLING)
        put_result(store, State.NEVER_STARTED)
        assert state_of(store, RUN_ID, now=datetime.now(UTC) + STALE_AFTER) is State.NEVER_STARTED

    def test_a_state_of_a_newer_version_is_unknown(self) -> None:
        store = open_store("memory://")
        store.put(layout.status_key(RUN_ID), b" " * 700)
        assert state_of(store, RUN_ID) is None

    def test_a_run_that_has_ended_stays_so(self) -> None:
        store = open_store("memory://")
        put_run(store, state=State.SUCCEEDED)
        assert state_of(store, RUN_ID, now=SOON + timedelta(days=9999)) is State.SUCCEEDED

    def test_there_is_no_state_of_a_run_that_is_not_there(self) -> None:
        with pytest.raises(RunNotFoundError):
            state_of(open_store("memory://"), RUN_ID)


def put_runs(store: Store, count: int, *, every: timedelta, until: datetime = SOON) -> list[str]:
    """Ended runs at regular intervals, the last of them at `until`; their ids, newest first."""
    moments = [until - every * number for number in range(count)]
    return [put_run(store, ids.new_run_id("a.ipynb", moment, f"{n:04x}")) for n, moment in enumerate(moments)]


class TestListing:
    def test_the_newest_run_comes_first(self, store: Store) -> None:
        put = put_runs(store, 5, every=timedelta(minutes=1))
        assert [run.run_id for run in list_runs(store)] == put

    def test_runs_of_one_second_are_in_order(self, store: Store) -> None:
        first = put_run(store, ids.new_run_id("stdin", SOON))
        second = put_run(store, ids.new_run_id("failing.ipynb", SOON + timedelta(milliseconds=100)))
        assert [run.run_id for run in list_runs(store)] == [second, first]
        assert find_run_id(store, "last") == second

    @pytest.mark.parametrize("every", [timedelta(minutes=1), timedelta(days=2), timedelta(days=90)])
    def test_the_newest_few_are_the_beginning_of_all(self, store: Store, every: timedelta) -> None:
        """However far apart the runs lie."""
        put = put_runs(store, 12, every=every)
        for newest in (1, 5, 12, 50):
            assert [run.run_id for run in list_runs(store, newest=newest)] == put[:newest]

    def test_a_run_of_a_machine_whose_clock_is_ahead_is_listed(self, store: Store) -> None:
        put = put_runs(store, 1, every=timedelta(), until=SOON + timedelta(days=2))
        assert [run.run_id for run in list_runs(store, newest=1)] == put

    def test_listing_ended_runs_reads_none_of_them(self) -> None:
        store = recording_store()
        put_runs(store, 3000, every=timedelta(minutes=1))
        store.calls.clear()
        assert len(list_runs(store)) == 3000
        assert store.calls == [("list", layout.STATUS)]

    def test_the_newest_are_found_without_listing_the_rest(self) -> None:
        store = recording_store()
        put = put_runs(store, 500, every=timedelta(hours=1))
        found = list_runs(store, newest=20)
        assert [run.run_id for run in found] == put[:20]
        assert len(store.listed) < 60

    def test_what_lies_about_under_status_is_no_run(self, store: Store) -> None:
        put = put_runs(store, 3, every=timedelta(minutes=1))
        for name in (".DS_Store", "zzz", "99999999-999999-a-0000"):
            store.put(layout.status_key(name), b"")
        assert [run.run_id for run in list_runs(store)] == put
        assert [run.run_id for run in list_runs(store, newest=1)] == put[:1]
        assert find_run_id(store, "last") == put[0]

    def test_a_summary_says_how_long_it_took(self, store: Store) -> None:
        put_run(store)
        summary = find_summary(store, RUN_ID)
        assert summary.notebook == "analysis"
        assert summary.duration == max(summary.updated - summary.requested, timedelta())


class TestNaming:
    IDS = ("20261123-101502-analysis-7f3a", "20261123-101502-analysis-7f3b", "20261124-090000-other-0000")

    @pytest.fixture
    def filled(self, store: Store) -> Store:
        for run_id in self.IDS:
            put_run(store, run_id)
        return store

    @pytest.mark.parametrize("name", IDS)
    def test_a_full_id_names_its_run(self, filled: Store, name: str) -> None:
        assert find_run_id(filled, name) == name

    @pytest.mark.parametrize("name", ["20261124", "20261124-090000-other-000"])
    def test_a_prefix_that_only_one_run_has_names_it(self, filled: Store, name: str) -> None:
        assert find_run_id(filled, name) == self.IDS[2]

    def test_last_is_the_newest(self, filled: Store) -> None:
        assert find_run_id(filled, "last") == self.IDS[2]

    def test_a_prefix_of_several_lists_them(self, filled: Store) -> None:
        with pytest.raises(RunNotFoundError, match="2 runs begin with '20261123'") as caught:
            find_run_id(filled, "20261123")
        assert self.IDS[0] in caught.value.why
        assert self.IDS[1] in caught.value.why

    def test_a_long_list_of_candidates_is_cut(self, store: Store) -> None:
        for number in range(8):
            put_run(store, f"20261123-101502-a-000{number}")
        with pytest.raises(RunNotFoundError, match="8 runs begin with") as caught:
            find_run_id(store, "2026")
        assert caught.value.why.endswith("and 3 more.")

    @pytest.mark.parametrize("name", ["", "nothing", "2025", "../status", "status/", "\n", ".", "a\x00"])
    def test_a_name_of_no_run_is_an_error_that_says_where_it_looked(self, filled: Store, name: str) -> None:
        with pytest.raises(RunNotFoundError) as caught:
            find_run_id(filled, name)
        assert filled.url in caught.value.why
        assert caught.value.exit_code == 3

    def test_last_of_nothing_says_how_to_begin(self, store: Store) -> None:
        with pytest.raises(RunNotFoundError, match="There are no runs yet") as caught:
            find_run_id(store, "last")
        assert "dayfly run" in caught.value.hint

    def test_a_run_is_found_without_reading_any_object(self) -> None:
        store = recording_store()
        put_runs(store, 50, every=timedelta(minutes=1))
        put_run(store)
        store.calls.clear()
        find_run_id(store, RUN_ID)
        assert store.count("get") == 0

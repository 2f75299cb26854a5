"""Runs in two stores as one: listed, found, and told when one of them does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dayfly.backends.everywhere import Question, find_everywhere, list_everywhere
from dayfly.backends.stores import Stores
from dayfly.errors import RunNotFoundError, StoreError
from dayfly.runs.store import Store, open_store
from dayfly.runs.sweep import Point
from tests.unit.runs.sweep_stores import put_sweep
from tests.unit.support import put_run

EARLY = "20261123-080000-early-0001"
MIDDLE = "20261123-090000-middle-0002"
LATE = "20261123-100000-late-0003"


@pytest.fixture
def here() -> Store:
    store = open_store("memory://")
    put_run(store, EARLY)
    put_run(store, LATE)
    return store


@pytest.fixture
def there() -> Store:
    store = open_store("memory://")
    put_run(store, MIDDLE)
    return store


@pytest.fixture
def both(here: Store, there: Store) -> Stores:
    return Stores(local=here, open_cloud=lambda: there)


@pytest.fixture
def silent(here: Store) -> Iterator[Stores]:
    """A store elsewhere that never answers."""
    never = threading.Event()

    def wait() -> Store:
        never.wait(60)
        raise AssertionError

    yield Stores(local=here, open_cloud=wait)
    never.set()


def refuse() -> Store:
    raise StoreError("No AWS credentials for s3://bucket.")


class TestListing:
    def test_runs_of_both_are_one_list_newest_first(self, both: Stores) -> None:
        listing = list_everywhere(both)
        assert [(run.summary.run_id, run.where) for run in listing.runs] == [
            (LATE, "local"),
            (MIDDLE, "ec2"),
            (EARLY, "local"),
        ]
        assert listing.unheard is None

    def test_the_newest_are_the_newest_of_both(self, both: Stores) -> None:
        assert [run.summary.run_id for run in list_everywhere(both, newest=2).runs] == [LATE, MIDDLE]

    def test_a_store_that_does_not_answer_in_time_is_missed_aloud(self, silent: Stores) -> None:
        listing = list_everywhere(silent, within_s=0.01)
        assert [run.summary.run_id for run in listing.runs] == [LATE, EARLY]
        assert "has not answered within 0.01 s" in str(listing.unheard)
        assert "--local" in str(listing.unheard)

    def test_a_store_that_cannot_be_opened_is_missed_aloud(self, here: Store) -> None:
        listing = list_everywhere(Stores(local=here, open_cloud=refuse))
        assert len(listing.runs) == 2
        assert "No AWS credentials" in str(listing.unheard)

    def test_a_project_without_a_bucket_has_one_store(self, here: Store) -> None:
        assert {run.where for run in list_everywhere(Stores(local=here)).runs} == {"local"}


class TestFinding:
    def test_a_run_is_found_where_it_is(self, both: Stores, here: Store, there: Store) -> None:
        assert find_everywhere(both, EARLY).store is here
        assert find_everywhere(both, MIDDLE).store is there
        assert find_everywhere(both, "20261123-09").store is there

    def test_a_full_id_that_is_here_asks_nobody_else(self, here: Store) -> None:
        found = find_everywhere(Stores(local=here, open_cloud=refuse), EARLY)
        assert (found.run_id, found.unheard) == (EARLY, None)

    def test_last_is_the_newest_of_both(self, both: Stores, there: Store) -> None:
        assert find_everywhere(both, "last").run_id == LATE
        put_run(there, "20261123-110000-newest-0004")
        found = find_everywhere(both, "last")
        assert (found.run_id, found.store) == ("20261123-110000-newest-0004", there)

    def test_last_of_sweeps_is_the_newest_of_both_whatever_ran_since(
        self, both: Stores, here: Store, there: Store
    ) -> None:
        put_sweep(here, [Point()], "20261123-070000-older-0001")
        put_sweep(there, [Point()], "20261123-071000-newer-0002")
        found = find_everywhere(both, "last", of_sweeps=True)
        assert (found.run_id, found.store) == ("20261123-071000-newer-0002", there)

    def test_a_prefix_of_runs_in_both_names_none(self, both: Stores) -> None:
        with pytest.raises(RunNotFoundError, match="3 runs begin with '20261123'"):
            find_everywhere(both, "20261123")

    def test_what_is_in_neither_is_told_of_both(self, both: Stores) -> None:
        with pytest.raises(RunNotFoundError, match="There is no run 'x'") as caught:
            find_everywhere(both, "x")
        assert "memory:// or memory://" in caught.value.why

    def test_a_prefix_of_a_run_here_is_enough_when_the_other_store_is_silent(self, silent: Stores) -> None:
        found = find_everywhere(silent, "20261123-08", within_s=0.01)
        assert (found.run_id, found.unheard is None) == (EARLY, False)

    def test_what_is_not_here_is_told_by_what_kept_the_other_store_from_answering(self, here: Store) -> None:
        with pytest.raises(StoreError, match="No AWS credentials"):
            find_everywhere(Stores(local=here, open_cloud=refuse), "x")

    def test_last_of_an_empty_store_and_a_silent_one_is_told_by_the_silence(self) -> None:
        with pytest.raises(StoreError, match="No AWS credentials"):
            find_everywhere(Stores(local=open_store("memory://"), open_cloud=refuse), "last")

    def test_last_of_two_empty_stores_says_how_to_begin(self) -> None:
        empty = open_store("memory://")
        with pytest.raises(RunNotFoundError, match="There are no runs yet"):
            find_everywhere(Stores(local=empty, open_cloud=lambda: open_store("memory://")), "last")


def test_a_question_hands_on_what_was_raised() -> None:
    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Question(fail, "It").answer(10)


def test_the_bucket_is_opened_once_and_only_when_it_is_asked_for() -> None:
    opened: list[Store] = []

    def open_cloud() -> Store:
        opened.append(open_store("memory://"))
        return opened[-1]

    stores = Stores(local=open_store("memory://"), open_cloud=open_cloud)
    assert opened == []
    assert stores.cloud is stores.cloud
    assert len(opened) == 1

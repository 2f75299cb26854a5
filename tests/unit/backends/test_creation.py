"""A token makes one run, whoever submits it how often, and wherever a submission was cut off."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from dayfly.backends.creation import Submission, create_run
from dayfly.errors import DamagedFileError
from dayfly.runs import layout
from dayfly.runs.catalog import list_runs
from dayfly.runs.store import Store, open_store
from tests.unit.support import NOW, RUN_ID, make_request

OTHER = "20261123-101503-analysis-80aa"
FIRST, SECOND, LONG = "t", "u", "correct horse"


def submit(store: Store, run_id: str, token: str = FIRST) -> str:
    submission = Submission(request=make_request(run_id), content=b"a notebook", token=token)
    return create_run(store, submission).run_id


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def test_the_same_token_twice_is_one_run(store: Store) -> None:
    assert submit(store, RUN_ID) == submit(store, OTHER) == RUN_ID
    assert [run.run_id for run in list_runs(store, now=NOW)] == [RUN_ID]


def test_another_token_is_another_run(store: Store) -> None:
    assert submit(store, RUN_ID) != submit(store, OTHER, token=SECOND)


def test_a_submission_cut_off_after_its_token_is_taken_up(store: Store) -> None:
    submit(store, RUN_ID)
    store.delete([layout.run_key(RUN_ID, layout.REQUEST), layout.status_key(RUN_ID)])
    assert submit(store, OTHER) == RUN_ID
    assert store.exists(layout.run_key(RUN_ID, layout.REQUEST))


def test_a_submission_cut_off_after_its_request_is_completed(store: Store) -> None:
    submit(store, RUN_ID)
    store.delete([layout.run_key(RUN_ID, layout.INPUT), layout.status_key(RUN_ID)])
    assert submit(store, OTHER) == RUN_ID
    assert store.get(layout.run_key(RUN_ID, layout.INPUT)) == b"a notebook"
    assert [run.run_id for run in list_runs(store, now=NOW)] == [RUN_ID]


def test_a_token_that_is_damaged_is_told(store: Store) -> None:
    submit(store, RUN_ID)
    (entry,) = store.list(layout.TOKENS)
    store.put(entry.key, b"nothing")
    with pytest.raises(DamagedFileError):
        submit(store, OTHER)


def test_the_token_itself_is_not_in_the_store(store: Store) -> None:
    submit(store, RUN_ID, token=LONG)
    assert all("horse" not in entry.key for entry in store.list(layout.TOKENS))


@dataclass(frozen=True, kw_only=True)
class Interrupted(Store):
    """A store in which Ctrl-C comes when this kind of object has just been written."""

    by: str = ""

    def create(self, key: str, content: bytes) -> bool:
        created = super().create(key, content)
        self._interrupt(key)
        return created

    def put(self, key: str, content: Any) -> None:
        super().put(key, content)
        self._interrupt(key)

    def _interrupt(self, key: str) -> None:
        if self.by in key:
            raise KeyboardInterrupt


@pytest.mark.parametrize("by", [layout.REQUEST, layout.INPUT, layout.STATUS])
def test_nothing_stays_of_a_run_whose_creation_is_interrupted(store: Store, by: str) -> None:
    interrupted = Interrupted(url=store.url, objects=store.objects, by=by)
    submission = Submission(request=make_request(RUN_ID), content=b"a notebook")
    with pytest.raises(KeyboardInterrupt):
        create_run(interrupted, submission)
    assert [entry.key for entry in store.list("")] == []


@pytest.mark.parametrize("by", [layout.REQUEST, layout.STATUS])
def test_who_is_interrupted_takes_nothing_from_another_with_the_same_token(store: Store, by: str) -> None:
    submit(store, RUN_ID)
    store.delete([layout.status_key(RUN_ID)])  # the other is just about to write it
    interrupted = Interrupted(url=store.url, objects=store.objects, by=by)
    later = make_request(OTHER).model_copy(update={"created": NOW + timedelta(microseconds=1)})
    with pytest.raises(KeyboardInterrupt):
        create_run(interrupted, Submission(request=later, content=b"a notebook", token=FIRST))
    assert store.exists(layout.run_key(RUN_ID, layout.REQUEST))
    assert store.exists(layout.run_key(RUN_ID, layout.INPUT))

"""A token makes one run, whoever submits it how often, and wherever a submission was cut off."""

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

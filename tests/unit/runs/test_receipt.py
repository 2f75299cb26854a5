import hashlib

import pytest

from dayfly.runs import layout
from dayfly.runs.chunks import chunk_name
from dayfly.runs.receipt import FileHash, Receipt, find_mismatches, hash_bytes
from dayfly.runs.store import Store, open_store
from tests.unit.support import RUN_ID, make_receipt

FILES = {
    "request.json": b"{}",
    "output.ipynb": b"the notebook",
    "outputs/a.csv": b"1,2",
    f"events/{chunk_name(0, '.jsonl')}": b"one\n",
    f"events/{chunk_name(4, '.jsonl')}": b"two\n",
}


def hash_of(data: bytes) -> FileHash:
    return FileHash(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


@pytest.fixture
def store() -> Store:
    made = open_store("memory://")
    for name, data in FILES.items():
        made.put(layout.run_key(RUN_ID, name), data)
    return made


@pytest.fixture
def receipt() -> Receipt:
    files = {name: hash_of(data) for name, data in FILES.items() if not name.startswith("events/")}
    return make_receipt({**files, "events": hash_of(b"one\ntwo\n")})


def test_pieces_are_hashed_as_one() -> None:
    assert hash_bytes(iter([b"a", b"", b"bc"])) == hash_of(b"abc")


def test_a_run_as_it_was_left_matches(store: Store, receipt: Receipt) -> None:
    assert find_mismatches(store, receipt) == []


def test_a_stream_may_be_cut_otherwise_than_by_the_runner(store: Store, receipt: Receipt) -> None:
    """A keeper cuts by time; the bytes are what counts."""
    store.delete([layout.run_key(RUN_ID, name) for name in FILES if name.startswith("events/")])
    store.put(layout.run_key(RUN_ID, f"events/{chunk_name(0, '.jsonl')}"), b"o")
    store.put(layout.run_key(RUN_ID, f"events/{chunk_name(1, '.jsonl')}"), b"ne\ntwo\n")
    assert find_mismatches(store, receipt) == []


def test_events_after_the_receipt_are_no_change(store: Store, receipt: Receipt) -> None:
    """The last event follows the receipt."""
    store.put(layout.run_key(RUN_ID, f"events/{chunk_name(8, '.jsonl')}"), b"ended\n")
    assert find_mismatches(store, receipt) == []


@pytest.mark.parametrize("name", [*FILES])
def test_a_file_that_was_changed_is_named(store: Store, receipt: Receipt, name: str) -> None:
    store.put(layout.run_key(RUN_ID, name), b"forged")
    (problem,) = find_mismatches(store, receipt)
    assert problem.startswith(f"{name.partition('/')[0] if 'events' in name else name} has changed: ")


@pytest.mark.parametrize("name", ["request.json", "output.ipynb", "outputs/a.csv"])
def test_a_file_that_is_gone_is_named(store: Store, receipt: Receipt, name: str) -> None:
    store.delete([layout.run_key(RUN_ID, name)])
    assert find_mismatches(store, receipt) == [f"{name} is missing."]


def test_a_stream_that_is_gone_has_changed(store: Store, receipt: Receipt) -> None:
    store.delete([layout.run_key(RUN_ID, name) for name in FILES if name.startswith("events/")])
    (problem,) = find_mismatches(store, receipt)
    assert problem.startswith("events has changed: 0 bytes")


def test_an_output_that_came_later_is_named(store: Store, receipt: Receipt) -> None:
    store.put(layout.run_key(RUN_ID, "outputs/extra.csv"), b"")
    assert find_mismatches(store, receipt) == ["outputs/extra.csv is not in the receipt."]


def test_each_change_is_a_sentence_of_its_own(store: Store, receipt: Receipt) -> None:
    store.put(layout.run_key(RUN_ID, "output.ipynb"), b"forged")
    store.delete([layout.run_key(RUN_ID, "outputs/a.csv")])
    problems = find_mismatches(store, receipt)
    assert len(problems) == 2
    assert all(problem.endswith(".") for problem in problems)

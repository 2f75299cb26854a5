"""What every store does alike: a directory, memory, and S3 over HTTP; then what a run is in each of them."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dayfly.errors import RunConflictError, RunNotFoundError, StoreError
from dayfly.runs import layout
from dayfly.runs.catalog import find_run_id, list_runs
from dayfly.runs.chunks import ChunkReader, chunk_name
from dayfly.runs.fetching import fetch_run
from dayfly.runs.follow import follow_events
from dayfly.runs.receipt import hash_bytes
from dayfly.runs.removal import remove_run
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store, open_store
from tests.contract.conftest import S3
from tests.unit.support import RUN_ID, make_receipt, make_request, make_result, put_run

UNUSUAL = [
    "a b",
    "ümlaut",
    "日本",
    "😀",
    "100%",
    "a%20b",
    "x#y",
    "[x]",
    "{x}",
    "'\"",
    "?*",
    "+&=;:@,$!",
    "~",
    "x\\y",
    "<x>|^`",
    ".hidden",
    "...",
    "-",
    "n" * 200,
]


class TestObjects:
    def test_what_is_put_is_got(self, store: Store) -> None:
        store.put("a/b", b"content")
        assert store.get("a/b") == b"content"

    def test_what_is_put_again_is_replaced(self, store: Store) -> None:
        store.put("a", b"the first, longer")
        store.put("a", b"second")
        assert store.get("a") == b"second"

    @pytest.mark.parametrize("data", [b"", b"\0\xff\r\n", bytes(range(256)) * 5000])
    def test_bytes_stay_as_they_are(self, store: Store, data: bytes) -> None:
        store.put("a", data)
        assert store.get("a") == data

    def test_a_file_is_put_from_its_path(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"from disk")
        store.put("a", tmp_path / "file")
        assert store.get("a") == b"from disk"

    def test_a_file_that_is_not_there_cannot_be_put(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="Could not write"):
            store.put("a", tmp_path / "nothing")
        assert store.get("a") is None

    def test_what_is_not_there_is_none(self, store: Store) -> None:
        assert store.get("nothing") is None

    def test_a_folder_is_no_object(self, store: Store) -> None:
        store.put("a/b", b"")
        assert store.get("a") is None

    @pytest.mark.parametrize("name", UNUSUAL)
    def test_an_unusual_key_is_a_key(self, store: Store, name: str) -> None:
        key = f"runs/{name}/file"
        store.put(key, name.encode())
        assert store.get(key) == name.encode()
        assert store.get_range(key, 0, 1) == name.encode()[:1]
        assert [entry.key for entry in store.list("runs")] == [key]
        assert [entry.key for entry in store.list(f"runs/{name}")] == [key]
        store.delete([key])
        assert store.get(key) is None

    @pytest.mark.parametrize("key", ["../a", "a/../../b", "a/./b", "a//b", "a\nb"])
    def test_a_key_that_is_no_path_is_refused(self, store: Store, tmp_path: Path, key: str) -> None:
        with pytest.raises(StoreError, match="Could not write"):
            store.put(key, b"")
        assert list(store.list("a")) == []
        assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["a store"])


class TestRanges:
    @pytest.mark.parametrize(("start", "end"), [(0, 10), (0, 1), (3, 7), (9, 10)])
    def test_a_range_is_a_slice(self, store: Store, start: int, end: int) -> None:
        store.put("a", b"0123456789")
        assert store.get_range("a", start, end) == b"0123456789"[start:end]

    def test_an_empty_range_is_empty(self, store: Store) -> None:
        store.put("a", b"0123456789")
        assert store.get_range("a", 10, 10) == b""

    def test_a_range_of_nothing_is_an_error(self, store: Store) -> None:
        with pytest.raises(StoreError, match="Could not read"):
            store.get_range("nothing", 0, 1)


class TestCreating:
    def test_the_first_to_create_an_object_makes_it(self, store: Store) -> None:
        assert store.create("a", b"first") is True
        assert store.create("a", b"second") is False
        assert store.get("a") == b"first"

    def test_an_object_that_was_put_is_not_created(self, store: Store) -> None:
        store.put("a", b"put")
        assert store.create("a", b"created") is False
        assert store.get("a") == b"put"

    def test_an_object_that_was_deleted_can_be_created_again(self, store: Store) -> None:
        store.create("a", b"first")
        store.delete(["a"])
        assert store.create("a", b"second") is True

    def test_of_many_who_create_at_once_exactly_one_does(self, store: Store) -> None:
        """A run directory is one run's alone."""
        count = 12
        barrier = threading.Barrier(count)
        made: list[bytes] = []

        def create(content: bytes) -> None:
            barrier.wait()
            if store.create("runs/x/request.json", content):
                made.append(content)

        threads = [threading.Thread(target=create, args=(b"%d" % n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        assert store.get("runs/x/request.json") == made[0]


class TestListing:
    def test_a_listing_tells_keys_and_sizes(self, store: Store) -> None:
        store.put("a/one", b"1")
        store.put("a/b/three", b"123")
        assert sorted((entry.key, entry.size) for entry in store.list("a")) == [
            ("a/b/three", 3),
            ("a/one", 1),
        ]

    def test_a_listing_tells_when_an_object_was_written(self, store: Store) -> None:
        store.put("a", b"")
        (entry,) = store.list("")
        assert abs(entry.modified - datetime.now(UTC)) < timedelta(minutes=1)

    def test_a_prefix_is_a_folder_not_the_beginning_of_a_name(self, store: Store) -> None:
        store.put("runs/x/a", b"")
        store.put("runs/xy/a", b"")
        assert [entry.key for entry in store.list("runs/x")] == ["runs/x/a"]

    def test_a_folder_that_is_not_there_is_empty(self, store: Store) -> None:
        assert list(store.list("nothing")) == []

    def test_a_listing_can_begin_after_a_key(self, store: Store) -> None:
        for name in "abcde":
            store.put(f"x/{name}", b"")
        assert sorted(entry.key for entry in store.list("x", after="x/c")) == ["x/d", "x/e"]

    def test_the_key_to_begin_after_need_not_be_there(self, store: Store) -> None:
        for name in ("20261122-a", "20261123-b", "20261124-c"):
            store.put(f"status/{name}", b"")
        found = sorted(entry.key for entry in store.list("status", after="status/20261123"))
        assert found == ["status/20261123-b", "status/20261124-c"]


class TestDeleting:
    def test_what_is_deleted_is_gone_and_its_neighbours_stay(self, store: Store) -> None:
        for name in "abc":
            store.put(f"x/{name}", b"")
        store.delete(["x/a", "x/c"])
        assert [entry.key for entry in store.list("x")] == ["x/b"]

    def test_what_is_not_there_can_be_deleted(self, store: Store) -> None:
        store.delete(["nothing"])

    def test_more_objects_than_one_request_takes_can_be_deleted(self, store: Store) -> None:
        keys = [f"x/{number:03d}" for number in range(30)]
        for key in keys:
            store.put(key, b"")
        store.delete(keys)
        assert list(store.list("x")) == []


class TestAStoreThatFails:
    def test_a_bucket_that_is_not_there_is_named(self, s3: S3) -> None:
        store = open_store("s3://no-such-bucket/runs")
        for attempt in (
            lambda: store.put("a", b""),
            lambda: store.create("a", b""),
            lambda: list(store.list("status")),
        ):
            with pytest.raises(StoreError, match=r"the store s3://no-such-bucket/runs") as caught:
                attempt()
            assert caught.value.why == "NoSuchBucket: The specified bucket does not exist"

    def test_looking_for_a_run_in_it_is_a_store_error_too(self, s3: S3) -> None:
        with pytest.raises(StoreError, match="Could not list"):
            find_run_id(open_store("s3://no-such-bucket/runs"), "last")

    def test_a_store_that_is_down_is_a_store_error_within_seconds(
        self, s3: S3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        store = open_store("s3://bucket/runs")
        with pytest.raises(StoreError, match="Could not read the store s3://bucket/runs") as caught:
            store.get("a")
        assert "127.0.0.1:9" in caught.value.why
        assert "Debug source" not in caught.value.why
        assert caught.value.exit_code == 5

    def test_a_directory_that_cannot_be_written_is_a_store_error(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        (tmp_path / "runs").write_text("a file where a folder should be")
        with pytest.raises(StoreError, match="Could not write the store") as caught:
            store.put("runs/x/request.json", b"")
        assert caught.value.why


EVENTS = b'{"type": "state", "state": "running"}\n{"type": "ended", "state": "succeeded"}\n'
FILES = {
    layout.INPUT: b"{}",
    layout.OUTPUT: b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "outputs/a plot.png": b"png",
    "outputs/tables/ü.csv": b"1,2",
}


@pytest.fixture
def run(store: Store) -> Run:
    """A run that has succeeded, with everything it leaves."""
    put_run(store)
    for name, data in FILES.items():
        store.put(layout.run_key(RUN_ID, name), data)
    for begin, end in ((0, 10), (10, 50), (50, len(EVENTS))):
        store.put(layout.run_key(RUN_ID, f"events/{chunk_name(begin, '.jsonl')}"), EVENTS[begin:end])
    hashes = {name: hash_bytes(iter([data])) for name, data in FILES.items()}
    hashes[layout.EVENTS] = hash_bytes(iter([EVENTS]))
    store.put(layout.run_key(RUN_ID, layout.RECEIPT), make_receipt(hashes).to_bytes())
    store.put(layout.run_key(RUN_ID, layout.RESULT), make_result().to_bytes())
    return Run(RUN_ID, store)


class TestARun:
    OTHERS = ("20261122-090000-analysis-0001", "20261123-101502-analysis-7f3b")

    def test_it_is_read_back_as_it_was_written(self, run: Run) -> None:
        assert run.state is State.SUCCEEDED
        assert run.request == make_request()
        assert run.result == make_result()
        assert run.output_bytes() == FILES[layout.OUTPUT]
        assert run.check() is run

    def test_it_is_listed_with_its_neighbours_newest_first(self, run: Run) -> None:
        for other in self.OTHERS:
            put_run(run.store, other, State.FAILED)
        listed = [(summary.run_id, summary.state) for summary in list_runs(run.store)]
        assert listed == [
            (self.OTHERS[1], State.FAILED),
            (RUN_ID, State.SUCCEEDED),
            (self.OTHERS[0], State.FAILED),
        ]
        assert [summary.run_id for summary in list_runs(run.store, newest=2)] == [self.OTHERS[1], RUN_ID]

    def test_its_id_a_prefix_and_last_name_it(self, run: Run) -> None:
        put_run(run.store, self.OTHERS[0])
        for name in (RUN_ID, "20261123", RUN_ID[:-1], "last"):
            assert find_run_id(run.store, name) == RUN_ID

    def test_a_prefix_of_two_runs_names_none(self, run: Run) -> None:
        put_run(run.store, self.OTHERS[1])
        with pytest.raises(RunNotFoundError, match="2 runs begin with"):
            find_run_id(run.store, "20261123-101502")

    @pytest.mark.parametrize("name", ["2025", "20261123-101502-analysis-7f3aa", *UNUSUAL, "a/b", "\n", ""])
    def test_any_other_name_names_none(self, run: Run, name: str) -> None:
        with pytest.raises(RunNotFoundError, match="There is no run"):
            find_run_id(run.store, name)

    def test_its_streams_are_read_as_they_grow(self, store: Store) -> None:
        reader = ChunkReader(store, layout.run_key(RUN_ID, layout.LOG))
        read = [reader.read()]
        for begin, data in ((0, b"one "), (0, b"one two "), (8, b"three "), (14, b"four")):
            store.put(layout.run_key(RUN_ID, f"log/{chunk_name(begin, '.txt')}"), data)
            read.append(reader.read())
        assert read == [b"", b"one ", b"two ", b"three ", b"four"]

    def test_its_events_are_followed_to_the_end(self, run: Run) -> None:
        waits: list[float] = []
        followed = list(follow_events(run.store, RUN_ID, wait=waits.append))
        assert waits == []
        assert [event["type"] for event in followed] == ["state", "ended"]

    def test_it_is_fetched(self, run: Run, tmp_path: Path) -> None:
        written = fetch_run(run.store, RUN_ID, tmp_path / "here")
        relative = {path.relative_to(tmp_path / "here").as_posix(): path.read_bytes() for path in written}
        assert relative == {name: data for name, data in FILES.items() if name != layout.INPUT}

    def test_it_matches_its_receipt_until_something_is_changed(self, run: Run) -> None:
        assert run.verify() == []
        run.store.put(layout.run_key(RUN_ID, "outputs/a plot.png"), b"forged")
        assert [problem.split(" has ")[0] for problem in run.verify()] == ["outputs/a plot.png"]

    def test_it_is_removed_and_its_neighbours_stay(self, run: Run) -> None:
        put_run(run.store, self.OTHERS[1])
        remove_run(run.store, RUN_ID)
        assert list(run.store.list(layout.run_prefix(RUN_ID).rstrip("/"))) == []
        assert [summary.run_id for summary in list_runs(run.store)] == [self.OTHERS[1]]
        with pytest.raises(RunNotFoundError):
            remove_run(run.store, RUN_ID)

    def test_while_it_goes_on_it_is_stopped_not_removed(self, store: Store) -> None:
        put_run(store)
        put_status(store, RUN_ID, State.REQUESTED, datetime.now(UTC))
        with pytest.raises(RunConflictError):
            remove_run(store, RUN_ID)
        Run(RUN_ID, store).stop(by="ada")
        asked = store.get(layout.run_key(RUN_ID, layout.STOP))
        assert asked is not None
        assert json.loads(asked)["by"] == "ada"


class TestTheCostOfLookingInS3:
    def test_a_listing_of_ended_runs_is_one_request_and_reads_none(self, s3: S3) -> None:
        store = s3.fresh_store()
        for number in range(40):
            put_run(store, f"20261123-1015{number:02d}-a-0000")
        s3.requests.clear()
        assert len(list_runs(store)) == 40
        assert [method for method, _ in s3.requests] == ["GET"]
        assert "list-type=2" in s3.requests[0][1]

    def test_looking_again_at_a_stream_asks_for_what_is_new_alone(self, s3: S3) -> None:
        store = s3.fresh_store()
        for begin in range(0, 200, 10):
            store.put(layout.run_key(RUN_ID, f"log/{chunk_name(begin, '.txt')}"), b"0123456789")
        reader = ChunkReader(store, layout.run_key(RUN_ID, layout.LOG))
        reader.read()
        s3.requests.clear()
        assert reader.read() == b""
        assert len(s3.requests) == 1
        store.put(layout.run_key(RUN_ID, f"log/{chunk_name(200, '.txt')}"), b"new")
        s3.requests.clear()
        assert reader.read() == b"new"
        assert len(s3.requests) == 2

    def test_credentials_come_from_the_environment_alone(self, s3: S3) -> None:
        assert s3.fresh_store().get("nothing") is None
        assert len(s3.requests) == 1

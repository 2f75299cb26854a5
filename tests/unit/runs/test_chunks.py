import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.runs.chunks import CHUNK_BYTES, ChunkReader, ChunkWriter, chunk_name, chunk_start
from dayfly.runs.store import open_store
from tests.unit.support import recording_store


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[ChunkWriter]:
    made = ChunkWriter(tmp_path / "runs" / "r" / "log", ".txt")
    yield made
    made.close()


def reader(root: Path, start: int = 0) -> ChunkReader:
    return ChunkReader(open_store(root), "runs/r/log", start)


@given(st.integers(min_value=0, max_value=10**12 - 1))
def test_a_chunks_name_says_where_it_begins(start: int) -> None:
    assert chunk_start(f"runs/r/events/{chunk_name(start, '.jsonl')}") == start


@given(st.integers(0, 10**12 - 1), st.integers(0, 10**12 - 1))
def test_names_sort_as_the_chunks_do(one: int, other: int) -> None:
    assert (chunk_name(one, ".txt") < chunk_name(other, ".txt")) == (one < other)


@given(stream=st.binary(max_size=200), cuts=st.sets(st.integers(1, 199)), data=st.data())
def test_however_a_stream_is_cut_and_read_the_bytes_are_the_same(
    stream: bytes, cuts: set[int], data: st.DataObject
) -> None:
    """Chunks of any sizes, a reader that looks whenever it likes: each byte once, in order."""
    store = open_store("memory://")
    reading = ChunkReader(store, "runs/r/log")
    read = b""
    bounds = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    for begin, end in itertools.pairwise(bounds):
        # The chunk grows before the next begins, as the runner's do.
        half = data.draw(st.integers(begin, end))
        store.put(f"runs/r/log/{chunk_name(begin, '.txt')}", stream[begin:half])
        if data.draw(st.booleans()):
            read += reading.read()
        store.put(f"runs/r/log/{chunk_name(begin, '.txt')}", stream[begin:end])
        if data.draw(st.booleans()):
            read += reading.read()
    assert read + reading.read() == stream
    assert reading.read() == b""


def test_what_is_appended_is_there_at_once(tmp_path: Path, writer: ChunkWriter) -> None:
    reading = reader(tmp_path)
    writer.append(b"one\n")
    assert reading.read() == b"one\n"
    writer.append(b"two\n")
    assert reading.read() == b"two\n"


def test_a_stream_goes_on_in_a_new_chunk_when_one_is_full(tmp_path: Path, writer: ChunkWriter) -> None:
    writer.append(b"a" * CHUNK_BYTES)
    writer.append(b"b")
    names = sorted(path.name for path in (tmp_path / "runs/r/log").iterdir())
    assert names == [chunk_name(0, ".txt"), chunk_name(CHUNK_BYTES, ".txt")]
    assert writer.size == CHUNK_BYTES + 1


def test_nothing_is_made_before_the_first_append(tmp_path: Path, writer: ChunkWriter) -> None:
    assert list((tmp_path / "runs/r/log").iterdir()) == []


def test_an_append_after_close_goes_on_where_the_stream_ended(tmp_path: Path, writer: ChunkWriter) -> None:
    writer.append(b"one")
    writer.close()
    writer.append(b"two")
    assert reader(tmp_path).read() == b"onetwo"


def test_a_reader_can_begin_in_the_middle(tmp_path: Path, writer: ChunkWriter) -> None:
    writer.append(b"0123456789")
    assert reader(tmp_path, start=4).read() == b"456789"


def test_a_reader_never_jumps_over_bytes_that_are_not_there_yet() -> None:
    """A store may show a later chunk first."""
    store = open_store("memory://")
    reading = ChunkReader(store, "runs/r/log")
    store.put(f"runs/r/log/{chunk_name(3, '.txt')}", b"def")
    assert reading.read() == b""
    store.put(f"runs/r/log/{chunk_name(0, '.txt')}", b"abc")
    assert reading.read() == b"abcdef"


def test_looking_again_reads_no_chunk_that_is_read() -> None:
    store = recording_store()
    for start in range(0, 1000, 10):
        store.put(f"runs/r/log/{chunk_name(start, '.txt')}", b"0123456789")
    reading = ChunkReader(store, "runs/r/log")
    reading.read()
    store.calls.clear()
    assert reading.read() == b""
    assert [call[0] for call in store.calls] == ["list"]


def test_a_stream_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert reader(tmp_path).read() == b""


def test_only_the_newest_bytes_are_read_when_they_are_all_that_is_wanted() -> None:
    """A live view shows the last lines of a log of any size."""
    store = recording_store()
    for start in range(0, 100, 10):
        store.put(f"runs/r/log/{chunk_name(start, '.txt')}", b"0123456789")
    reading = ChunkReader(store, "runs/r/log")
    store.calls.clear()
    assert reading.read(newest=12) == b"890123456789"
    assert store.count("get") == 2
    assert reading.read(newest=12) == b""
    store.put(f"runs/r/log/{chunk_name(100, '.txt')}", b"ab")
    assert reading.read(newest=12) == b"ab"

from pathlib import Path

import pytest

from dayfly.errors import StoreError
from dayfly.keeper.carry import Carrier
from dayfly.runs import layout
from dayfly.runs.chunks import ChunkReader, ChunkWriter
from dayfly.runs.store import Store
from tests.unit.support import RUN_ID, FakeClock, RecordingStore, failing_store, make_result, recording_store


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    made = tmp_path / RUN_ID
    (made / layout.OUTPUTS).mkdir(parents=True)
    return made


@pytest.fixture
def store() -> RecordingStore:
    return recording_store()


def later() -> FakeClock:
    """A clock by which every file has long been written."""
    return FakeClock(now=1e12)


def key(name: str) -> str:
    return layout.run_key(RUN_ID, name)


def log_in(store: Store) -> bytes:
    return ChunkReader(store, key(layout.LOG)).read()


def test_only_new_bytes_of_a_stream_are_carried(run_dir: Path, store: RecordingStore) -> None:
    carrier, log = Carrier(run_dir, store), ChunkWriter(run_dir / layout.LOG, ".txt")
    for _ in range(50):
        log.append(b"0123456789" * 10)
        carrier.carry()
    log.close()
    assert sum(call[2] for call in store.calls if call[0] == "put") == 50 * 100
    assert log_in(store) == b"0123456789" * 500


def test_with_nothing_new_the_store_hears_nothing(run_dir: Path, store: RecordingStore) -> None:
    (run_dir / layout.OUTPUT).write_bytes(b"{}")
    (run_dir / layout.OUTPUTS / "a").write_bytes(b"1")
    carrier = Carrier(run_dir, store, clock=later())
    carrier.carry()
    store.calls.clear()
    carrier.carry()
    carrier.carry()
    assert store.calls == []


def test_a_stream_longer_than_a_piece_comes_whole(run_dir: Path, store: RecordingStore) -> None:
    log = ChunkWriter(run_dir / layout.LOG, ".txt")
    stream = bytes(range(256)) * (36 << 10)
    log.append(stream)
    log.close()
    Carrier(run_dir, store).carry()
    assert store.count("put") == 2
    assert log_in(store) == stream


def test_who_follows_a_run_misses_nothing_when_another_keeper_takes_it_over(
    run_dir: Path, store: RecordingStore
) -> None:
    """The first one died, perhaps before it could write down how far it had come."""
    log, reader = ChunkWriter(run_dir / layout.LOG, ".txt"), ChunkReader(store, key(layout.LOG))
    for number, carrier in enumerate([Carrier(run_dir, store)] * 2):
        log.append(b"%d" % number * 100)
        carrier.carry()
    seen = reader.read()
    log.append(b"2" * 100)
    Carrier(run_dir, store).carry()
    seen += reader.read()
    log.append(b"3" * 100)
    (run_dir / ".carried").write_text('{"events"')
    Carrier(run_dir, store).carry()
    log.close()
    assert seen == b"0" * 100 + b"1" * 100 + b"2" * 100
    assert log_in(store) == seen + b"3" * 100


def test_a_notebook_that_was_saved_again_is_carried_again(run_dir: Path, store: RecordingStore) -> None:
    carrier = Carrier(run_dir, store)
    for content in (b"one", b"three"):
        (run_dir / layout.OUTPUT).write_bytes(content)
        carrier.carry()
        assert store.get(key(layout.OUTPUT)) == content


def test_an_output_that_may_still_be_written_waits(run_dir: Path, store: RecordingStore) -> None:
    (run_dir / layout.OUTPUTS / "model.bin").write_bytes(b"half")
    carrier = Carrier(run_dir, store)
    carrier.carry()
    assert store.puts() == []
    carrier.carry(everything=True)
    assert store.puts() == [key("outputs/model.bin")]


def test_an_output_that_has_settled_is_carried_while_the_notebook_runs(
    run_dir: Path, store: RecordingStore
) -> None:
    (run_dir / layout.OUTPUTS / "sub").mkdir()
    (run_dir / layout.OUTPUTS / "sub" / "model.bin").write_bytes(b"whole")
    Carrier(run_dir, store, clock=later()).carry()
    assert store.get(key("outputs/sub/model.bin")) == b"whole"


def test_an_output_that_was_carried_and_then_renamed_is_in_the_store_once(
    run_dir: Path, store: RecordingStore
) -> None:
    half, whole = run_dir / layout.OUTPUTS / "model.tmp", run_dir / layout.OUTPUTS / "model.bin"
    half.write_bytes(b"whole")
    carrier = Carrier(run_dir, store, clock=later())
    carrier.carry()
    half.rename(whole)
    (run_dir / layout.RECEIPT).write_bytes(b"{}")
    carrier.carry(everything=True)
    assert [entry.key for entry in store.list(key(layout.OUTPUTS))] == [key("outputs/model.bin")]


def test_what_was_saved_of_a_run_whose_directory_is_gone_stays(run_dir: Path, store: RecordingStore) -> None:
    (run_dir / layout.OUTPUTS / "model.bin").write_bytes(b"whole")
    carrier = Carrier(run_dir, store, clock=later())
    carrier.carry()
    (run_dir / layout.OUTPUTS / "model.bin").unlink()
    carrier.carry(everything=True)
    assert store.get(key("outputs/model.bin")) == b"whole"


def test_links_are_left_where_they_are(run_dir: Path, store: RecordingStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (run_dir / layout.OUTPUTS / "link").symlink_to(tmp_path / "secret")
    (run_dir / layout.OUTPUTS / "folder").symlink_to(tmp_path)
    Carrier(run_dir, store).carry(everything=True)
    assert store.puts() == []


def test_a_file_that_vanishes_while_it_is_looked_at_is_no_error(run_dir: Path, store: RecordingStore) -> None:
    """A notebook may write and remove files as it likes."""
    fleeting = run_dir / layout.OUTPUTS / "fleeting"
    fleeting.touch()

    def clock() -> float:
        fleeting.unlink(missing_ok=True)
        return 1e12

    Carrier(run_dir, store, clock=clock).carry()
    assert store.puts() == []


def test_the_result_is_never_carried_with_the_rest(run_dir: Path, store: RecordingStore) -> None:
    """It says that all the rest is there, so it goes last and by itself."""
    for name in (layout.RESULT, layout.RECEIPT, layout.OUTPUT, layout.RUNNER_LOG):
        (run_dir / name).write_bytes(b"{}")
    carrier = Carrier(run_dir, store)
    carrier.carry(everything=True)
    assert key(layout.RESULT) not in store.puts()
    carrier.carry_result()
    assert store.puts()[-1] == key(layout.RESULT)


def test_it_goes_on_where_a_store_that_failed_left_off(run_dir: Path) -> None:
    store = failing_store(2)
    log = ChunkWriter(run_dir / layout.LOG, ".txt")
    carrier = Carrier(run_dir, store)
    log.append(b"one ")
    for _ in range(2):
        with pytest.raises(StoreError):
            carrier.carry()
    log.append(b"two")
    log.close()
    carrier.carry()
    assert log_in(store) == b"one two"
    assert store.count("put") == 1


def test_a_file_that_failed_is_tried_again(run_dir: Path) -> None:
    store = failing_store(1)
    (run_dir / layout.RESULT).write_bytes(make_result().to_bytes())
    carrier = Carrier(run_dir, store)
    with pytest.raises(StoreError):
        carrier.carry_result()
    carrier.carry_result()
    assert store.get(key(layout.RESULT)) == make_result().to_bytes()


def test_a_run_directory_with_nothing_in_it_is_no_error(tmp_path: Path, store: RecordingStore) -> None:
    (tmp_path / RUN_ID).mkdir()
    Carrier(tmp_path / RUN_ID, store).carry(everything=True)
    assert store.puts() == []


def test_a_file_whose_path_s3_would_refuse_keeps_nothing_else_from_being_carried(
    run_dir: Path, store: RecordingStore
) -> None:
    deep = (run_dir / layout.OUTPUTS).joinpath(*(["d" * 200] * 5))
    deep.mkdir(parents=True)
    (deep / "deep.csv").write_bytes(b"1")
    (run_dir / layout.OUTPUTS / "plain.csv").write_bytes(b"2")
    Carrier(run_dir, store, clock=later()).carry(everything=True)
    assert [entry.key for entry in store.list(key(layout.OUTPUTS))] == [key("outputs/plain.csv")]

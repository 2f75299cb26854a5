import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dayfly.errors import RunConflictError, RunNotFoundError
from dayfly.runs import layout
from dayfly.runs.removal import remove_run, remove_unused_snapshots
from dayfly.runs.request import SnapshotSource
from dayfly.runs.state import State
from dayfly.runs.store import Store, open_store
from tests.unit.support import RUN_ID, make_request, put_run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def run_dir_of(store: Store) -> Path:
    directory = store.path(layout.run_prefix(RUN_ID))
    assert directory is not None
    return directory


def test_nothing_of_a_run_is_left(store: Store) -> None:
    put_run(store)
    (run_dir_of(store) / "outputs" / "empty").mkdir(parents=True)
    remove_run(store, RUN_ID)
    assert not run_dir_of(store).exists()
    assert list(store.list("status")) == []


def test_what_a_link_in_its_outputs_leads_to_stays(store: Store, tmp_path: Path) -> None:
    """A notebook may link its data into its outputs: removing the run must not remove the data."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious.csv").write_text("1,2")
    put_run(store)
    outputs = run_dir_of(store) / layout.OUTPUTS
    outputs.mkdir()
    (outputs / "data").symlink_to(tmp_path / "data")
    (outputs / "file.csv").symlink_to(tmp_path / "data" / "precious.csv")
    remove_run(store, RUN_ID)
    assert (tmp_path / "data" / "precious.csv").read_text() == "1,2"
    assert not run_dir_of(store).exists()


@pytest.mark.parametrize("name", [b"line\nbreak", b"latin-\xe9", b"plot#1"])
def test_a_run_with_names_that_no_store_holds_can_be_removed(store: Store, name: bytes) -> None:
    """As after a runner that was killed: it had no time to rename them."""
    put_run(store)
    (run_dir_of(store) / layout.OUTPUTS).mkdir()
    (run_dir_of(store) / layout.OUTPUTS / os.fsdecode(name)).touch()
    remove_run(store, RUN_ID)
    assert not run_dir_of(store).exists()


@pytest.mark.parametrize("state", [State.REQUESTED, State.RUNNING, State.SAVING])
def test_a_run_that_goes_on_is_kept(state: State) -> None:
    store = open_store("memory://")
    put_run(store, state=state)
    with pytest.raises(RunConflictError, match=f"has not ended .{state}.") as caught:
        remove_run(store, RUN_ID)
    assert f"dayfly stop {RUN_ID}" in caught.value.hint
    assert store.get(layout.run_key(RUN_ID, layout.REQUEST)) is not None


def test_a_run_whose_state_is_unknown_is_kept() -> None:
    store = open_store("memory://")
    store.put(layout.status_key(RUN_ID), b"")
    with pytest.raises(RunConflictError, match="unknown"):
        remove_run(store, RUN_ID)


def test_a_run_that_is_not_there_cannot_be_removed(store: Store) -> None:
    with pytest.raises(RunNotFoundError):
        remove_run(store, RUN_ID)


def test_a_removal_that_was_cut_off_can_be_repeated(store: Store) -> None:
    put_run(store)
    (run_dir_of(store) / layout.REQUEST).unlink()
    run_dir_of(store).rmdir()
    remove_run(store, RUN_ID)
    assert list(store.list("status")) == []


def test_its_neighbours_stay(store: Store) -> None:
    """Also those whose ids begin as its own does."""
    put_run(store)
    neighbour = put_run(store, f"{RUN_ID}9")
    remove_run(store, RUN_ID)
    assert [entry.key for entry in store.list("status")] == [layout.status_key(neighbour)]
    assert store.get(layout.run_key(neighbour, layout.REQUEST)) is not None


class TestSnapshots:
    NOW = datetime.now(UTC)
    LATER = NOW + timedelta(days=2)

    @pytest.fixture(autouse=True)
    def _snapshots(self, store: Store) -> None:
        """Bundles of two commits, of which a run needs the first."""
        for commit in ("a" * 40, "b" * 40):
            store.put(layout.snapshot_key(commit), b"bundle")
        put_run(store)
        source = SnapshotSource(commit="a" * 40, tree="c" * 40, checkout="/dayfly/project")
        store.put(layout.run_key(RUN_ID, layout.REQUEST), make_request(snapshot=source).to_bytes())

    def test_one_that_no_run_needs_is_removed(self, store: Store) -> None:
        assert remove_unused_snapshots(store, now=self.LATER) == ["b" * 40]
        assert [entry.key for entry in store.list(layout.SNAPSHOTS)] == [layout.snapshot_key("a" * 40)]

    def test_one_of_today_stays_for_its_run_may_be_about_to_begin(self, store: Store) -> None:
        assert remove_unused_snapshots(store, now=self.NOW) == []

    def test_with_its_last_run_the_other_goes_too(self, store: Store) -> None:
        remove_run(store, RUN_ID)
        assert remove_unused_snapshots(store, now=self.LATER) == ["a" * 40, "b" * 40]

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from dayfly.errors import DayflyError, RunConflictError, StoreError
from dayfly.runs import layout
from dayfly.runs.fetching import fetch_run
from dayfly.runs.store import Entry, Store, open_store
from tests.unit.support import NOW, RUN_ID


def put(store: Store, name: str, data: bytes = b"data") -> None:
    store.put(layout.run_key(RUN_ID, name), data)


@pytest.fixture
def store() -> Store:
    made = open_store("memory://")
    for name in ("output.ipynb", "outputs/plot.png", "outputs/tables/a b.csv", "input.ipynb", "log/0.txt"):
        put(made, name, name.encode())
    return made


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "fetched"


def fetch(store: Store, directory: Path, *, overwrite: bool = False) -> list[str]:
    found = fetch_run(store, RUN_ID, directory, overwrite=overwrite)
    return sorted(path.relative_to(directory).as_posix() for path in found)


def files(directory: Path) -> list[str]:
    return sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file())


def test_notebook_and_outputs_come_and_nothing_else(store: Store, here: Path) -> None:
    assert fetch(store, here) == ["output.ipynb", "outputs/plot.png", "outputs/tables/a b.csv"]
    assert files(here) == ["output.ipynb", "outputs/plot.png", "outputs/tables/a b.csv"]
    assert (here / "outputs/tables/a b.csv").read_bytes() == b"outputs/tables/a b.csv"


def test_what_is_there_already_is_left_alone(store: Store, here: Path) -> None:
    fetch(store, here)
    before = (here / "output.ipynb").stat()
    assert fetch(store, here) == []
    assert (here / "output.ipynb").stat() == before


def test_a_file_that_differs_stops_everything_before_anything_is_written(store: Store, here: Path) -> None:
    (here / "outputs").mkdir(parents=True)
    (here / "outputs/plot.png").write_bytes(b"mine")
    with pytest.raises(RunConflictError, match="A file is in the way") as caught:
        fetch(store, here)
    assert "plot.png" in caught.value.why
    assert files(here) == ["outputs/plot.png"]


def test_asked_to_it_overwrites(store: Store, here: Path) -> None:
    here.mkdir()
    (here / "output.ipynb").write_bytes(b"mine")
    fetch(store, here, overwrite=True)
    assert (here / "output.ipynb").read_bytes() == b"output.ipynb"


def test_a_folder_in_the_way_is_an_error_even_then(store: Store, here: Path) -> None:
    (here / "output.ipynb").mkdir(parents=True)
    with pytest.raises(RunConflictError, match=r"output\.ipynb cannot be written"):
        fetch(store, here, overwrite=True)


def test_a_file_where_a_folder_is_needed_is_an_error(store: Store, here: Path) -> None:
    here.mkdir()
    (here / "outputs").write_bytes(b"mine")
    with pytest.raises(RunConflictError, match="cannot be written"):
        fetch(store, here)
    assert (here / "outputs").read_bytes() == b"mine"


def test_a_link_in_the_way_is_replaced_not_followed(store: Store, here: Path, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.write_bytes(b"mine")
    here.mkdir()
    (here / "output.ipynb").symlink_to(outside)
    with pytest.raises(RunConflictError):
        fetch(store, here)
    fetch(store, here, overwrite=True)
    assert outside.read_bytes() == b"mine"
    assert not (here / "output.ipynb").is_symlink()


def test_a_folder_that_leads_elsewhere_is_refused(store: Store, here: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    here.mkdir()
    (here / "outputs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="leads out of"):
        fetch(store, here, overwrite=True)
    assert files(tmp_path / "elsewhere") == []


def test_names_like_those_of_temporary_files_are_only_names(here: Path) -> None:
    store = open_store("memory://")
    names = ["outputs/.a.tmp", "outputs/a", "outputs/a.tmp", "outputs/.a"]
    for name in names:
        put(store, name, name.encode())
    fetch(store, here)
    assert {name: (here / name).read_bytes() for name in names} == {name: name.encode() for name in names}


def test_the_longest_file_name_can_be_fetched(here: Path) -> None:
    store = open_store("memory://")
    put(store, f"outputs/{'n' * 255}")
    assert fetch(store, here) == [f"outputs/{'n' * 255}"]


def test_a_run_that_left_nothing_says_so(here: Path) -> None:
    with pytest.raises(RunConflictError, match="has left no files") as caught:
        fetch(open_store("memory://"), here)
    assert f"dayfly show {RUN_ID}" in caught.value.hint
    assert not here.exists()


class HostileStore(Store):
    """A store whose listing has whatever keys somebody put into the bucket."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(objects=MemoryStore(), url="memory://")
        object.__setattr__(self, "names", names)

    names: list[str]

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[Entry]:
        for name in self.names:
            yield Entry(key=layout.run_key(RUN_ID, name), size=4, modified=NOW)

    def get(self, key: str) -> bytes | None:
        return b"evil"


def test_a_name_that_no_file_can_have_is_told() -> None:
    with tempfile.TemporaryDirectory() as here, pytest.raises(DayflyError, match="cannot"):
        list(fetch_run(HostileStore(["outputs/" + "x" * 300]), RUN_ID, Path(here)))


HOSTILE = st.lists(
    st.sampled_from(["..", ".", "", "a", "b c", "~", "\\", "..\\x", "/etc", "link", "\x00", "\n", "é", "C:"]),
    max_size=6,
).map(lambda parts: "outputs/" + "/".join(parts))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(names=st.lists(HOSTILE | st.text().map("outputs/".__add__), min_size=1, max_size=4))
def test_no_key_makes_a_fetch_write_outside_its_directory(names: list[str]) -> None:
    """Whatever the keys are, and with links lying about: an error, or files inside."""
    with tempfile.TemporaryDirectory() as root:
        here, outside = Path(root, "outer", "here"), Path(root, "outside")
        (here / "outputs").mkdir(parents=True)
        outside.mkdir()
        (here / "outputs" / "link").symlink_to(outside)
        try:
            written = list(fetch_run(HostileStore(names), RUN_ID, here, overwrite=True))
        except DayflyError:
            written = []
        top = here.resolve()
        assert all(path.parent.resolve().is_relative_to(top) for path in written)
        assert names_in(outside) == []
        assert names_in(Path(root)) == ["outer", "outside"]
        assert names_in(Path(root, "outer")) == ["here"]

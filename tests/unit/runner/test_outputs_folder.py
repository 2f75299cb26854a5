from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from dayfly.runner.outputs_folder import collect_folder, make_names_portable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    made = tmp_path / "store" / "runs" / "a-run" / "outputs"
    made.mkdir(parents=True)
    return made


def collected(folder: Path, into: Path, *written: str) -> list[str]:
    """The files that a run which writes these leaves in its directory."""

    async def run() -> None:
        async with collect_folder(folder, into, lambda: None, lambda: False) as collect:
            for name in written:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(f"by this run: {name}")
            assert collect() == len(written)

    asyncio.run(run())
    return sorted(path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file())


class TestCollecting:
    def test_what_the_run_wrote_is_copied(self, folder: Path, into: Path) -> None:
        assert collected(folder, into, "a.csv", "deep/b.csv") == ["a.csv", "deep/b.csv"]
        assert (into / "deep/b.csv").read_text() == "by this run: deep/b.csv"
        assert (folder / "a.csv").exists()

    def test_what_was_there_before_is_not(self, folder: Path, into: Path) -> None:
        folder.mkdir()
        (folder / "old.csv").write_text("old")
        assert collected(folder, into, "new.csv") == ["new.csv"]

    def test_what_was_there_and_was_changed_is(self, folder: Path, into: Path) -> None:
        folder.mkdir()
        (folder / "a.csv").write_text("old")
        assert collected(folder, into, "a.csv") == ["a.csv"]

    def test_a_store_within_the_folder_is_left_out(self, tmp_path: Path) -> None:
        """As when the outputs folder of a project is the project itself."""
        into = tmp_path / ".dayfly" / "runs" / "a-run" / "outputs"
        into.mkdir(parents=True)

        async def run() -> int:
            async with collect_folder(tmp_path, into, lambda: None, lambda: False) as collect:
                (tmp_path / "a.csv").touch()
                (into.parent / "output.ipynb").touch()
                (tmp_path / ".dayfly" / "runs" / "another").mkdir()
                (tmp_path / ".dayfly" / "runs" / "another" / "output.ipynb").touch()
                return collect()

        assert asyncio.run(run()) == 1
        assert [path.name for path in into.iterdir()] == ["a.csv"]

    def test_links_are_not_followed(self, folder: Path, into: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "big.bin").touch()
        folder.mkdir()
        (folder / "data").symlink_to(tmp_path / "data")
        (folder / "one").symlink_to(tmp_path / "data" / "big.bin")
        assert collected(folder, into) == []


class TestTakingTurns:
    def test_a_second_run_waits_until_the_first_has_ended(self, folder: Path, into: Path) -> None:
        """So that each finds what it wrote itself, and never the other's files."""
        told: list[str] = []

        async def first(begun: asyncio.Event, may_end: asyncio.Event) -> None:
            async with collect_folder(folder, into, lambda: told.append("first waits"), lambda: False):
                begun.set()
                await may_end.wait()
                told.append("first ends")

        async def second(waits: asyncio.Event) -> None:
            def wait() -> None:
                told.append("second waits")
                waits.set()

            async with collect_folder(folder, into, wait, lambda: False):
                told.append("second begins")

        async def both() -> None:
            begun, waits, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
            one = asyncio.ensure_future(first(begun, may_end))
            await begun.wait()
            other = asyncio.ensure_future(second(waits))
            await waits.wait()
            may_end.set()
            await asyncio.gather(one, other)

        asyncio.run(asyncio.wait_for(both(), 20))
        assert told == ["second waits", "first ends", "second begins"]

    def test_a_run_that_is_ended_while_it_waits_waits_no_longer(self, folder: Path, into: Path) -> None:
        async def run() -> None:
            async with (
                collect_folder(folder, into, lambda: None, lambda: False),
                collect_folder(folder, into, lambda: None, lambda: True),
            ):
                pass

        asyncio.run(asyncio.wait_for(run(), 20))


class TestPortableNames:
    @pytest.mark.parametrize(
        ("name", "portable"),
        [
            (b"line\nbreak", "line%0Abreak"),
            (b"back\\slash", "back%5Cslash"),
            (b"plot#1", "plot%231"),
            (b"latin-\xe9", "latin-%E9"),
            (b"bell\x07", "bell%07"),
        ],
    )
    def test_a_name_that_no_store_can_hold_is_changed_and_told(
        self, into: Path, name: bytes, portable: str
    ) -> None:
        (into / os.fsdecode(name)).write_text("content")
        (sentence,) = make_names_portable(into)
        assert (into / portable).read_text() == "content"
        assert repr(portable) in sentence
        sentence.encode()  # it can be written down

    @pytest.mark.parametrize("name", ["plain.csv", "with space", "ümlaut", "日本", "100%", "a%20b", "'\"?*"])
    def test_any_other_stays(self, into: Path, name: str) -> None:
        (into / name).touch()
        assert list(make_names_portable(into)) == []
        assert (into / name).exists()

    def test_folders_are_renamed_with_what_they_hold(self, into: Path) -> None:
        (into / "a\nb").mkdir()
        (into / "a\nb" / "c\nd").touch()
        assert len(list(make_names_portable(into))) == 2
        assert (into / "a%0Ab" / "c%0Ad").exists()

    def test_no_file_takes_the_place_of_another(self, into: Path) -> None:
        (into / "a\nb").write_text("one")
        (into / "a%0Ab").write_text("other")
        list(make_names_portable(into))
        assert (into / "a%0Ab").read_text() == "other"
        assert (into / "_a%0Ab").read_text() == "one"

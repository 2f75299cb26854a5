from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dayfly.runner.outputs_folder import collect_folder


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

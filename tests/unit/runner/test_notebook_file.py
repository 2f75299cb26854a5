import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from dayfly.runner.notebook_file import NotebookFile
from tests.unit.support import code_cell, make_notebook, markdown_cell


@pytest.fixture
def file(tmp_path: Path) -> Iterator[NotebookFile]:
    notebook = make_notebook(markdown_cell("# Title"), code_cell("1"), code_cell("2"))
    made = NotebookFile(tmp_path / "output.ipynb", notebook)
    yield made
    made.close()


def output(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def read(file: NotebookFile) -> Any:
    notebook = nbformat.read(file.path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    return notebook


def texts(file: NotebookFile) -> list[str]:
    return ["".join(each.text for each in cell.get("outputs", [])) for cell in read(file).cells]


class FullDisk(NotebookFile):
    """The disk fills up in the middle of a write."""

    def _copy(self, *args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_all_cells_are_there_from_the_first_write_on(file: NotebookFile) -> None:
    file.write(file.snapshot())
    assert [cell.source for cell in read(file).cells] == ["# Title", "1", "2"]


def test_a_cell_that_is_finished_is_in_the_next_snapshot(file: NotebookFile) -> None:
    file.finish_cell(1, code_cell("1", outputs=[output("one")]))
    file.write(file.snapshot())
    assert texts(file) == ["", "one", ""]


def test_a_cell_may_be_finished_again(file: NotebookFile) -> None:
    """As when a later cell updates its display."""
    file.finish_cell(1, code_cell("1", outputs=[output("one")]))
    file.finish_cell(2, code_cell("2", outputs=[output("two")]))
    file.finish_cell(1, code_cell("1", outputs=[output("one, updated")]))
    file.write(file.snapshot())
    assert texts(file) == ["", "one, updated", "two"]


def test_a_snapshot_can_hold_the_cell_that_still_runs(file: NotebookFile) -> None:
    file.write(file.snapshot(running=(2, code_cell("2", outputs=[output("so far")]))))
    assert texts(file) == ["", "", "so far"]
    file.write(file.snapshot())
    assert texts(file) == ["", "", ""]


def test_a_snapshot_is_of_its_moment(file: NotebookFile) -> None:
    """It is written by another thread while the notebook goes on."""
    running = code_cell("2", outputs=[{"output_type": "stream", "name": "stdout", "text": ["then"]}])
    snapshot = file.snapshot(running=(2, running))
    running["outputs"][0]["text"].append(" and now")
    running["outputs"].append(output("more"))
    running["metadata"]["late"] = True
    file.metadata["late"] = True
    file.finish_cell(1, code_cell("1", outputs=[output("later")]))
    file.write(snapshot)
    assert texts(file) == ["", "", "then"]
    assert "late" not in read(file).cells[2].metadata
    assert "late" not in read(file).metadata


def test_metadata_is_written_as_it_is_now(file: NotebookFile) -> None:
    file.metadata["dayfly"] = {"state": "succeeded"}
    file.write(file.snapshot())
    assert read(file).metadata.dayfly.state == "succeeded"


def test_a_reader_never_sees_a_part_of_the_file(file: NotebookFile) -> None:
    """At every moment there is a whole notebook, the old one or the new one."""
    file.write(file.snapshot())
    ended = threading.Event()
    problems: list[Exception] = []

    def look() -> None:
        while not ended.is_set():
            try:
                json.loads(file.path.read_bytes())
            except (OSError, ValueError) as error:
                problems.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(100):
        file.finish_cell(1, code_cell("1", outputs=[output("x" * number * 100)]))
        file.write(file.snapshot())
    ended.set()
    reader.join()
    assert problems == []


def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "output.ipynb").write_bytes(b"the last checkpoint")
    file = FullDisk(tmp_path / "output.ipynb", make_notebook(code_cell()))
    with pytest.raises(OSError, match="No space left"):
        file.write(file.snapshot())
    file.close()
    assert [path.name for path in tmp_path.iterdir()] == ["output.ipynb"]
    assert file.path.read_bytes() == b"the last checkpoint"


def test_nothing_is_left_of_the_spool(tmp_path: Path, file: NotebookFile) -> None:
    """It is gone from the directory before anything is in it, so a runner that is killed leaves none."""
    file.finish_cell(1, code_cell("1", outputs=[output("x" * 100_000)]))
    assert list(tmp_path.iterdir()) == []


def test_the_cost_of_finishing_a_cell_does_not_grow_with_what_is_there(file: NotebookFile) -> None:
    def spooled() -> int:
        return os.fstat(file._spool.fileno()).st_size

    file.finish_cell(1, code_cell("1", outputs=[output("x" * 500_000)]))
    before = spooled()
    file.finish_cell(2, code_cell("2"))
    assert spooled() - before < 1000


def test_writing_says_how_large_the_file_is(file: NotebookFile) -> None:
    assert file.write(file.snapshot()) == file.path.stat().st_size


def test_a_notebook_without_cells_is_a_notebook(tmp_path: Path) -> None:
    file = NotebookFile(tmp_path / "output.ipynb", make_notebook())
    file.write(file.snapshot())
    file.close()
    assert read(file).cells == []

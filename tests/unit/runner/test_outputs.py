"""What a cell's outputs become of the messages that a kernel sends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import NotebookNode

from dayfly.runner.cells import make_collector
from dayfly.runner.connection import OutputChannel
from dayfly.runner.journal import Journal
from dayfly.runner.notebook_file import NotebookFile
from dayfly.runner.outputs import OutputCollector, finish_streams
from tests.unit.support import code_cell, make_notebook, make_request


class Kernel:
    """A client of a kernel, as far as a collector needs one."""

    def __init__(self) -> None:
        self.iopub_channel: OutputChannel = object.__new__(OutputChannel)


class Cells:
    """A notebook of a few cells whose outputs are being collected."""

    def __init__(self, folder: Path, limit: int) -> None:
        notebook = make_notebook(*(code_cell() for _ in range(3)))
        self.journal = Journal(folder, log_limit_bytes=10**9)
        self.file = NotebookFile(folder / "output.ipynb", notebook)
        self.kernel = Kernel()
        self.collector: OutputCollector = make_collector(
            nbformat.from_dict(notebook),
            request=make_request(output_limit_bytes=limit),
            journal=self.journal,
            file=self.file,
            client=self.kernel,
        )
        self.collector.reset_execution_trackers()
        self.number = -1
        self.next_cell()

    @property
    def cell(self) -> NotebookNode:
        cell: NotebookNode = self.collector.nb.cells[self.number]
        return cell

    def next_cell(self) -> None:
        self.number += 1
        self.collector.clear_before_next_output = False  # as nbclient does at each cell
        self.collector.begin_cell()

    def send(self, kind: str, **content: Any) -> None:
        message = {
            "msg_type": kind,
            "header": {"msg_type": kind},
            "parent_header": {"msg_id": "m"},
            "content": content,
        }
        self.collector.process_message(message, self.cell, self.number)

    def print(self, text: str, name: str = "stdout") -> None:
        self.send("stream", name=name, text=text)

    def display(self, text: str, display_id: str | None = None, kind: str = "display_data") -> None:
        transient = {"display_id": display_id} if display_id else {}
        self.send(kind, data={"text/plain": text}, metadata={}, transient=transient)

    def error(self, text: str = "x") -> None:
        self.send("error", ename="ValueError", evalue=text, traceback=[text])

    def shown(self) -> list[str]:
        """The finished cell's outputs: a stream's text, the text of data, an error's name."""
        finish_streams(self.cell.outputs)
        return [
            output["text"] if "text" in output else output.get("ename") or output["data"]["text/plain"]
            for output in self.cell.outputs
        ]

    def close(self) -> None:
        self.journal.close()
        self.file.close()


@pytest.fixture
def cells(tmp_path: Path) -> Iterator[Cells]:
    made = Cells(tmp_path, limit=100)
    yield made
    made.close()


class TestStreams:
    def test_what_comes_in_pieces_is_one_output(self, cells: Cells) -> None:
        for text in ("one\n", "tw", "o\n"):
            cells.print(text)
        assert cells.shown() == ["one\ntwo\n"]

    def test_streams_are_kept_apart_and_in_order(self, cells: Cells) -> None:
        cells.print("a")
        cells.print("b", "stderr")
        cells.print("c")
        assert cells.shown() == ["a", "b", "c"]
        assert [output["name"] for output in cells.cell.outputs] == ["stdout", "stderr", "stdout"]

    def test_what_comes_between_other_outputs_stays_between_them(self, cells: Cells) -> None:
        cells.print("a")
        cells.display("b")
        cells.print("c")
        assert cells.shown() == ["a", "b", "c"]

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("10%\r50%\r100%\n", "100%\n"),
            ("a\nb\rc", "a\nc"),
            ("line\r\nline\r\n", "line\r\nline\r\n"),
            ("100%\r\r\n", "100%\r\r\n"),
            ("50%\r", "50%\r"),
            ("a\r\rb", "b"),
        ],
    )
    def test_a_carriage_return_overwrites_its_line(self, cells: Cells, text: str, shown: str) -> None:
        cells.print(text)
        assert cells.shown() == [shown]

    @given(st.lists(st.sampled_from(["a", "b", "\r", "\n", "\r\n"])).map("".join), st.data())
    def test_however_text_is_cut_into_messages_the_output_is_the_same(
        self, text: str, data: st.DataObject
    ) -> None:
        cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=5)) | {0, len(text)})
        pieces = [text[begin:end] for begin, end in itertools.pairwise(cuts)]
        whole, cut = (NotebookNode(output_type="stream", text=list(t)) for t in ([text], pieces))
        finish_streams([whole, cut])
        assert whole["text"] == cut["text"]

    def test_the_log_has_it_as_it_was_printed(self, cells: Cells, tmp_path: Path) -> None:
        cells.print("10%\r50%\n")
        cells.display("<plot>")
        (log,) = (tmp_path / "log").iterdir()
        assert log.read_bytes() == b"10%\r50%\n<plot>\n"


class TestOtherOutputs:
    def test_results_displays_and_errors_are_as_nbformat_wants_them(self, cells: Cells) -> None:
        cells.send("execute_result", data={"text/plain": "2"}, metadata={}, execution_count=1)
        cells.send("display_data", data={"image/png": "cG5n"}, metadata={"image/png": {"width": 5}})
        cells.error()
        nbformat.validate(cells.collector.nb)
        assert [output["output_type"] for output in cells.cell.outputs] == [
            "execute_result",
            "display_data",
            "error",
        ]

    def test_a_display_may_come_without_metadata(self, cells: Cells) -> None:
        cells.send("display_data", data={"text/plain": "x"})
        nbformat.validate(cells.collector.nb)
        assert cells.cell.outputs[0]["metadata"] == {}

    def test_messages_that_are_no_outputs_are_none(self, cells: Cells) -> None:
        cells.send("status", execution_state="starting")
        cells.send("a kind of a newer protocol")
        assert cells.shown() == []

    def test_clear_output_clears(self, cells: Cells) -> None:
        cells.print("old")
        cells.send("clear_output", wait=False)
        cells.print("new")
        assert cells.shown() == ["new"]

    def test_clearing_may_wait_for_the_next_output(self, cells: Cells) -> None:
        cells.print("old")
        cells.send("clear_output", wait=True)
        assert cells.shown() == ["old"]
        cells.print("new")
        assert cells.shown() == ["new"]

    def test_a_later_cell_may_update_a_display_of_an_earlier_one(self, cells: Cells) -> None:
        cells.display("old", "progress")
        cells.next_cell()
        cells.display("new", "progress", kind="update_display_data")
        assert cells.collector.changed_cells == {0}
        assert cells.collector.nb.cells[0].outputs[0]["data"]["text/plain"] == "new"
        assert cells.shown() == []

    def test_only_a_cell_with_such_a_display_must_be_remembered(self, cells: Cells) -> None:
        cells.display("plain")
        cells.next_cell()
        cells.display("may change", "progress")
        assert [cells.collector.has_displays(number) for number in range(3)] == [False, True, False]

    def test_a_display_that_was_cleared_is_updated_no_more(self, cells: Cells) -> None:
        cells.display("old", "progress")
        cells.send("clear_output", wait=True)
        cells.print("text")
        cells.display("new", "progress", kind="update_display_data")
        assert cells.shown() == ["text"]


def note_in(shown: list[str]) -> list[str]:
    return [text for text in shown if "[dayfly] Output truncated here" in text]


class TestTheLimit:
    """It is 100 bytes here."""

    def test_a_stream_is_kept_to_the_last_byte_and_then_there_is_a_note(self, cells: Cells) -> None:
        cells.print("x" * 70)
        cells.print("y" * 70)
        kept, note = cells.shown()
        assert kept == "x" * 70 + "y" * 30
        assert "the run's limit is 100 bytes" in note
        assert "$DAYFLY_OUTPUTS" in note

    def test_the_note_comes_once_a_cell(self, cells: Cells) -> None:
        for _ in range(5):
            cells.print("x" * 70)
        assert len(note_in(cells.shown())) == 1
        cells.next_cell()
        for _ in range(5):
            cells.print("x")
        assert len(note_in(cells.shown())) == 1
        assert cells.journal.warnings == [
            "The output of cell 1 was truncated: the run has reached its limit of 100 bytes.",
            "The output of cell 2 was truncated: the run has reached its limit of 100 bytes.",
        ]

    def test_a_picture_is_kept_whole_or_not_at_all(self, cells: Cells) -> None:
        cells.send("display_data", data={"image/png": "x" * 400}, metadata={})
        assert len(note_in(cells.shown())) == len(cells.cell.outputs) == 1

    def test_an_error_is_always_kept(self, cells: Cells) -> None:
        cells.print("x" * 200)
        cells.error("e" * 500)
        assert cells.shown()[-1] == "ValueError"

    def test_what_is_cleared_gives_its_room_back(self, cells: Cells) -> None:
        for number in range(10):
            cells.send("clear_output", wait=False)
            cells.print(f"{number}" * 90)
        assert cells.shown() == ["9" * 90]

    def test_so_does_what_the_next_output_clears(self, cells: Cells) -> None:
        """A cell may draw a large picture a thousand times, each in place of the last."""
        for number in range(10):
            cells.send("clear_output", wait=True)
            cells.print(f"{number}" * 90)
        assert cells.shown() == ["9" * 90]

    def test_after_truncating_a_cell_may_clear_and_go_on(self, cells: Cells) -> None:
        cells.print("x" * 200)
        assert cells.kernel.iopub_channel.discarding
        cells.send("clear_output", wait=True)
        assert not cells.kernel.iopub_channel.discarding
        cells.print("y")
        assert cells.shown() == ["y"]

    def test_the_room_of_earlier_cells_is_gone(self, cells: Cells) -> None:
        cells.print("x" * 90)
        cells.next_cell()
        cells.send("clear_output", wait=False)
        cells.print("y" * 20)
        assert cells.shown()[0] == "y" * 10

    def test_what_will_be_dropped_is_not_even_parsed(self, cells: Cells) -> None:
        """A cell that prints a gigabyte costs little more than receiving it."""
        cells.print("x" * 200)
        assert cells.kernel.iopub_channel.discarding
        cells.next_cell()
        assert not cells.kernel.iopub_channel.discarding


def test_a_stream_of_many_megabytes_stays_whole_and_leaves_memory(tmp_path: Path) -> None:
    cells = Cells(tmp_path, limit=10**9)
    line = "0123456789" * 9 + "\n"
    for _ in range(500):
        cells.print(line * 100)
    loose = sum(len(piece) for piece in cells.cell.outputs[0]["text"] if isinstance(piece, str))
    assert loose < 2 << 20
    finish_streams(cells.cell.outputs)
    cells.file.finish_cell(0, cells.cell)
    cells.file.write(cells.file.snapshot())
    read = nbformat.read(cells.file.path, as_version=4)
    assert read.cells[0].outputs[0].text == line * 50_000
    cells.close()


def test_a_progress_bar_that_is_drawn_for_hours_stays_small(tmp_path: Path) -> None:
    cells = Cells(tmp_path, limit=10**9)
    for number in range(40_000):
        cells.print(f"\r{number:06d} {'=' * 80}")
    loose = sum(len(piece) for piece in cells.cell.outputs[0]["text"] if isinstance(piece, str))
    assert loose < 2 << 20
    (shown,) = cells.shown()
    assert shown == f"039999 {'=' * 80}"
    cells.close()

from datetime import UTC, datetime
from typing import Any

import pytest

from dayfly.report.difference import describe_difference
from dayfly.runs import layout
from dayfly.runs.receipt import FileHash, KernelFacts, Receipt
from dayfly.runs.run import Run
from dayfly.runs.store import Store, open_store
from tests.unit.support import code_cell, make_notebook, put_run, to_content


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def executed(store: Store, number: int, *, source: str = "1", printed: str = "1", **metadata: Any) -> Run:
    """A run with one cell that printed something."""
    run_id = put_run(store, f"20261123-101502-analysis-000{number}")
    output = {"output_type": "stream", "name": "stdout", "text": printed}
    cell = code_cell(source, outputs=[output], metadata=metadata, execution_count=number)
    store.put(layout.run_key(run_id, layout.OUTPUT), to_content(make_notebook(cell)))
    return Run(run_id, store)


def difference(one: Run, other: Run, *, outputs: bool = True) -> str:
    return describe_difference(one, other, outputs=outputs, colours=False)


def test_the_same_cells_do_not_differ(store: Store) -> None:
    """Times, states and execution counts are another's at each run."""
    one = executed(store, 1, papermill={"duration": 1})
    other = executed(store, 2, papermill={"duration": 2})
    assert difference(one, other) == ""


def test_another_source_is_shown_with_both_ids(store: Store) -> None:
    one, other = executed(store, 1, source="alpha = 1"), executed(store, 2, source="alpha = 2")
    text = difference(one, other)
    assert one.run_id in text
    assert other.run_id in text
    assert "alpha = 1" in text
    assert "alpha = 2" in text


def test_another_output_is_shown_unless_outputs_are_left_out(store: Store) -> None:
    one, other = executed(store, 1, printed="five"), executed(store, 2, printed="six")
    assert "six" in difference(one, other)
    assert difference(one, other, outputs=False) == ""


def test_without_colours_there_are_no_codes(store: Store) -> None:
    one, other = executed(store, 1, source="a"), executed(store, 2, source="b")
    assert "\x1b" not in difference(one, other)


def test_output_files_that_differ_are_named(store: Store) -> None:
    one, other = executed(store, 1), executed(store, 2)
    put_receipt(one, {"outputs/same.csv": "a", "outputs/other.csv": "b", "outputs/mine.csv": "c"})
    put_receipt(other, {"outputs/same.csv": "a", "outputs/other.csv": "d"})
    text = difference(one, other)
    assert "outputs/other.csv differs" in text
    assert f"outputs/mine.csv is in {one.run_id} alone" in text
    assert "same.csv" not in text
    assert difference(one, other, outputs=False) == ""


def put_receipt(run: Run, files: dict[str, str]) -> None:
    """A receipt that knows these files by a letter for their hash."""
    receipt = Receipt(
        run_id=run.run_id,
        created=datetime(2026, 11, 23, tzinfo=UTC),
        dayfly="0",
        platform="",
        host="",
        notebook="",
        parameters={},
        kernel=KernelFacts(name="python3"),
        files={name: FileHash(sha256=letter, bytes=1) for name, letter in files.items()},
    )
    run.store.put(layout.run_key(run.run_id, layout.RECEIPT), receipt.to_bytes())

from datetime import timedelta
from typing import Any

import pytest

from dayfly.runner.annotate import annotate_cell, annotate_end, prepare_notebook
from dayfly.runs.result import FailedCell, Reason
from dayfly.runs.state import CellState, State
from tests.unit.support import NOW, RUN_ID, code_cell, make_notebook, make_request, make_result, markdown_cell


@pytest.fixture
def notebook() -> dict[str, Any]:
    executed = code_cell(
        outputs=[{"output_type": "stream", "name": "stdout", "text": "old"}],
        execution_count=7,
        metadata={"execution": {"iopub.status.busy": "long ago"}, "tags": ["mine"]},
    )
    made = make_notebook(markdown_cell(), executed, code_cell())
    made["metadata"]["widgets"] = {"old": True}
    prepare_notebook(made, make_request(parameters={"alpha": 0.1}), NOW)
    return made


def test_nothing_of_an_earlier_execution_is_left(notebook: dict[str, Any]) -> None:
    cell = notebook["cells"][1]
    assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert "execution" not in cell["metadata"]
    assert "widgets" not in notebook["metadata"]


def test_what_is_the_users_stays(notebook: dict[str, Any]) -> None:
    assert notebook["cells"][1]["metadata"]["tags"] == ["mine"]
    assert notebook["cells"][0] == markdown_cell()


def test_every_code_cell_is_not_run_before_it_is(notebook: dict[str, Any]) -> None:
    """papermill's word for it is pending; a notebook that ends early says so of each cell."""
    for cell in notebook["cells"][1:]:
        assert cell["metadata"]["dayfly"] == {"state": "not_run"}
        assert cell["metadata"]["papermill"]["status"] == "pending"


def test_papermills_readers_find_what_they_look_for(notebook: dict[str, Any]) -> None:
    metadata = notebook["metadata"]["papermill"]
    assert metadata["parameters"] == {"alpha": 0.1}
    assert metadata["input_path"] == "/home/ada/analysis.ipynb"
    assert metadata["start_time"] == NOW.isoformat()


@pytest.mark.parametrize(
    ("state", "status", "exception"),
    [
        (CellState.EXECUTED, "completed", False),
        (CellState.FAILED, "failed", True),
        (CellState.INTERRUPTED, "failed", True),
    ],
)
def test_a_cell_that_ended_says_how_and_how_long(state: CellState, status: str, exception: bool) -> None:
    cell = code_cell()
    annotate_cell(cell, state, NOW, NOW + timedelta(seconds=1.5))
    assert cell["metadata"]["dayfly"]["state"] == state
    assert cell["metadata"]["papermill"] == {
        "status": status,
        "exception": exception,
        "start_time": NOW.isoformat(),
        "end_time": (NOW + timedelta(seconds=1.5)).isoformat(),
        "duration": 1.5,
    }


def test_a_cell_that_runs_has_no_end() -> None:
    cell = code_cell()
    annotate_cell(cell, CellState.RUNNING, NOW)
    assert cell["metadata"]["papermill"]["status"] == "running"
    assert cell["metadata"]["papermill"]["end_time"] is None


@pytest.mark.parametrize("failed", [None, FailedCell(number=2)])
def test_the_end_of_the_run_is_in_the_notebook(notebook: dict[str, Any], failed: FailedCell | None) -> None:
    result = make_result(state=State.FAILED, reason=Reason.CELL_FAILED, message="No.", failed_cell=failed)
    annotate_end(notebook["metadata"], result)
    assert notebook["metadata"]["dayfly"] == {
        "run_id": RUN_ID,
        "state": "failed",
        "reason": "cell_failed",
        "message": "No.",
    }
    assert notebook["metadata"]["papermill"]["exception"] is (True if failed else None)
    assert notebook["metadata"]["papermill"]["duration"] == 5.0

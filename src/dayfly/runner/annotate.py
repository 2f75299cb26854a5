"""What a run writes into the notebook's metadata: the states of its cells, for us and for papermill.

papermill's keys are those of its `NotebookExecutionManager`
(https://papermill.readthedocs.io), so that its readers, scrapbook among them, go on working.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dayfly._version import __version__
from dayfly.runner.notebook import Cell, Notebook
from dayfly.runs.request import Request
from dayfly.runs.result import Result
from dayfly.runs.state import CellState

_PAPERMILL_STATUS = {
    CellState.NOT_RUN: "pending",
    CellState.RUNNING: "running",
    CellState.EXECUTED: "completed",
    CellState.FAILED: "failed",
    CellState.INTERRUPTED: "failed",
}


def prepare_notebook(notebook: Notebook, request: Request, started: datetime) -> None:
    """Clear what an earlier execution left and mark every code cell as not run, in place."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
            cell["execution_count"] = None
            cell["metadata"].pop("execution", None)
            annotate_cell(cell, CellState.NOT_RUN)
    notebook["metadata"].pop("widgets", None)
    notebook["metadata"]["papermill"] = {
        "default_parameters": {},
        "environment_variables": {},
        "exception": None,
        "input_path": request.notebook,
        "output_path": request.output_copy,
        "parameters": request.parameters,
        "start_time": started.isoformat(),
        "end_time": None,
        "duration": None,
        "version": f"dayfly {__version__}",
    }
    notebook["metadata"]["dayfly"] = {"run_id": request.run_id, "state": "running"}


def annotate_cell(
    cell: Cell, state: CellState, started: datetime | None = None, ended: datetime | None = None
) -> None:
    """Write a code cell's state and times into its metadata."""
    failed = state in {CellState.FAILED, CellState.INTERRUPTED}
    metadata: dict[str, Any] = cell["metadata"]
    metadata["dayfly"] = {"state": str(state)}
    metadata["papermill"] = {
        "status": _PAPERMILL_STATUS[state],
        "exception": failed if ended else None,
        "start_time": started.isoformat() if started else None,
        "end_time": ended.isoformat() if ended else None,
        "duration": (ended - started).total_seconds() if started and ended else None,
    }


def annotate_end(metadata: dict[str, Any], result: Result) -> None:
    """Write how the run ended into the notebook's metadata."""
    papermill = metadata["papermill"]
    papermill["end_time"] = result.ended.isoformat()
    papermill["duration"] = result.duration_s
    papermill["exception"] = True if result.failed_cell is not None else None  # as papermill has it
    metadata["dayfly"] = {
        "run_id": result.run_id,
        "state": str(result.state),
        "reason": str(result.reason),
        "message": result.message,
    }

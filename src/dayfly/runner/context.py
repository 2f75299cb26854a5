"""What belongs together while one run is executed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dayfly.runner.cells import CellRunner
from dayfly.runner.ending import Ending
from dayfly.runner.facts import Facts
from dayfly.runner.journal import Journal
from dayfly.runner.launch import LaunchedKernel
from dayfly.runner.notebook_file import NotebookFile
from dayfly.runs.request import Request
from dayfly.runs.result import CellCounts, Result
from dayfly.runs.state import State

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclass(kw_only=True)
class Session:
    """One run and the parts at work on it; `cells` once the kernel answers, `result` at the end."""

    run_dir: Path
    request: Request
    kernel: LaunchedKernel
    journal: Journal
    notebook: NotebookNode
    file: NotebookFile
    ending: Ending
    started: datetime
    on_state: Callable[[State], None]
    facts: asyncio.Task[Facts]
    cells: CellRunner | None = None
    result: Result | None = None
    collect: Callable[[], int] = field(default=lambda: 0)

    def enter(self, state: State, **fields: Any) -> None:
        """Go to `state` and tell whoever listens."""
        self.journal.enter(state, **fields)
        self.on_state(state)

    def count_cells(self) -> CellCounts:
        """How many code cells ended how, also when none was ever begun."""
        if self.cells is not None:
            return self.cells.counts(self.notebook)
        code = sum(cell["cell_type"] == "code" for cell in self.notebook["cells"])
        return CellCounts(code=code, not_run=code)

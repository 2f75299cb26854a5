"""Where the runner's heavy imports happen, while the kernel boots."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from dayfly.runner.launch import LaunchedKernel
from dayfly.runner.notebook import parse_notebook
from dayfly.runs import layout
from dayfly.runs.atomic import write_atomically
from dayfly.runs.model import parse_model
from dayfly.runs.request import Request
from dayfly.runs.result import CellCounts, Reason, Result
from dayfly.runs.state import State

# jsonschema imports this where it is installed, to check URLs in formats that nobody here asks for. It
# builds its grammars at import: 1.3 s, measured in an environment with JupyterLab.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

from dayfly.runner.clock import utc_now  # noqa: E402
from dayfly.runner.closing import keep_reserve, release_reserve  # noqa: E402 -- after the line above
from dayfly.runner.facts import Facts  # noqa: E402
from dayfly.runner.journal import Journal  # noqa: E402
from dayfly.runner.parameters import inject_parameters  # noqa: E402
from dayfly.runner.session import run_session  # noqa: E402


def run_with(
    run_dir: Path, kernel: LaunchedKernel, on_state: Callable[[State], None], facts: Facts | None = None
) -> Result:
    """Execute the run's notebook with a kernel that is booting; `facts` where they are known already."""
    request = parse_model(Request, (run_dir / layout.REQUEST).read_bytes(), str(run_dir / layout.REQUEST))
    journal = Journal(run_dir, log_limit_bytes=request.output_limit_bytes)
    journal.enter(State.PREPARING, run_id=request.run_id, notebook=request.notebook)
    on_state(State.PREPARING)
    keep_reserve(run_dir)
    notebook = parse_notebook((run_dir / layout.INPUT).read_bytes(), layout.INPUT)
    notebook = inject_parameters(
        notebook, request.parameters, kernel=kernel.spec.name, language=kernel.spec.language
    )
    return asyncio.run(
        run_session(
            run_dir, request, notebook, kernel=kernel, journal=journal, on_state=on_state, facts=facts
        )
    )


def record_failure(
    run_dir: Path, error: Exception, on_state: Callable[[State], None], *, kernel_missing: bool
) -> Result:
    """The result of a run that could not be executed at all."""
    now = utc_now()
    release_reserve(run_dir, all_of_it=True)
    result = Result(
        run_id=run_dir.name,
        state=State.FAILED,
        reason=Reason.KERNEL_MISSING if kernel_missing else Reason.RUNNER_FAILED,
        message=str(error) or type(error).__name__,
        started=now,
        ended=now,
        duration_s=0.0,
        cells=CellCounts(),
    )
    write_atomically(run_dir / layout.RESULT, result.to_bytes())
    on_state(result.state)
    return result

"""The same request again, from a run directory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from dayfly.backends.python import choose_python
from dayfly.backends.submission import Submission
from dayfly.errors import RunConflictError, UsageError
from dayfly.runner.kernelspecs import load_kernelspec
from dayfly.runs import ids, layout
from dayfly.runs.run import Run


def plan_rerun(run: Run, environ: Mapping[str, str], now: datetime, *, python: str | None) -> Submission:
    """What repeats `run`: its notebook, parameters, directory, kernel and settings, as they were.

    `python` replaces the environment, for one that is gone. Raises RunConflictError when the notebook is
    not there any more or is not what the receipt says, and UsageError when its directory is gone.
    """
    request = run.request
    content = run.store.get(layout.run_key(run.run_id, layout.INPUT))
    if content is None:
        raise RunConflictError(f"The run {run.run_id} no longer has its notebook ({layout.INPUT}).")
    if run.receipt is not None and any(problem.startswith(f"{layout.INPUT} ") for problem in run.verify()):
        raise RunConflictError(
            f"The notebook in the run {run.run_id} is not the one that ran.",
            why=f"{layout.INPUT} does not match the receipt.",
            hint=f"See more with: dayfly verify {run.run_id}",
        )
    if not Path(request.cwd).is_dir():
        raise UsageError(f"The directory {request.cwd}, in which the notebook ran, is gone.")
    environment = choose_python(
        python or request.python.executable,
        source="--python" if python else f"as in {run.run_id}",
        folders=[],
        environ=environ,
    )
    load_kernelspec(
        request.kernel, python=environment.executable, prefix=Path(environment.prefix), environ=environ
    )
    changes = {
        "run_id": ids.new_run_id(_name(request.notebook), now),
        "created": now,
        "python": environment,
        "output_copy": None,
        "rerun_of": run.run_id,
    }
    return Submission(request=request.model_copy(update=changes), content=content)


def _name(notebook: str) -> str:
    return "stdin" if notebook == "-" else notebook

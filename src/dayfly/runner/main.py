"""The runner's beginning: the kernel process first, then everything that takes time to import."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dayfly.errors import DayflyError, KernelMissingError
from dayfly.runner.kernelspecs import load_kernelspec
from dayfly.runner.launch import Start, launch_kernel, start_process
from dayfly.runner.signals import hold_signals
from dayfly.runs import layout
from dayfly.runs.lock import acquire_lock
from dayfly.runs.state import State

if TYPE_CHECKING:
    from dayfly.runner.facts import Facts


def _nothing(_: object) -> None:
    """Neither states are heard of, nor is anything to be prepared."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What whoever runs many may give to each: a way to start kernels, and what the place is like."""

    start: Start = start_process
    facts: Facts | None = None


ALONE = Given()
"""Nothing is given: the run sees for itself."""


def execute_run(
    run_dir: Path,
    on_state: Callable[[State], None] = _nothing,
    prepare: Callable[[dict[str, Any]], None] = _nothing,
    given: Given = ALONE,
) -> int:
    """Execute the run in `run_dir` and leave the directory complete; returns the exit code.

    `on_state` hears of each state as it is entered; `prepare` is called with the request before
    anything is started, and what it raises is the run's end. Raises RunConflictError when another
    runner is at work here, or the run has ended before.
    """
    with hold_signals():
        return _execute_locked(run_dir.absolute(), on_state, prepare, given)


def _execute_locked(
    run_dir: Path,
    on_state: Callable[[State], None],
    prepare: Callable[[dict[str, Any]], None],
    given: Given,
) -> int:
    lock = acquire_lock(run_dir)
    try:
        request = json.loads((run_dir / layout.REQUEST).read_bytes())
        if (run_dir / layout.RESULT).exists():
            return _exit_code_of_earlier(run_dir)
        outputs = run_dir / layout.OUTPUTS
        outputs.mkdir(exist_ok=True)
        return _execute(run_dir, request, outputs, on_state, prepare, given)
    finally:
        os.close(lock)


def _exit_code_of_earlier(run_dir: Path) -> int:
    return State(json.loads((run_dir / layout.RESULT).read_bytes())["state"]).exit_code


def kernel_environment(
    environ: Mapping[str, str], request: Mapping[str, Any], outputs: Path
) -> dict[str, str]:
    """The kernel's environment variables: ours, the Python environment activated, the run's own."""
    values = dict(environ)
    prefix = Path(request["python"]["prefix"])
    values["PATH"] = os.pathsep.join([str(prefix / "bin"), values.get("PATH", os.defpath)])
    if (prefix / "pyvenv.cfg").exists():
        values["VIRTUAL_ENV"] = str(prefix)
    values["DAYFLY_RUN_ID"] = request["run_id"]
    values["DAYFLY_OUTPUTS"] = str(outputs)
    return values


def _execute(  # noqa: PLR0913, PLR0917 -- what a run is made of
    run_dir: Path,
    request: dict[str, Any],
    outputs: Path,
    on_state: Callable[[State], None],
    prepare: Callable[[dict[str, Any]], None],
    given: Given,
) -> int:
    try:
        prepare(request)
        environ = kernel_environment(os.environ, request, outputs)
        spec = load_kernelspec(
            request["kernel"],
            python=request["python"]["executable"],
            prefix=Path(request["python"]["prefix"]),
            environ=environ,
        )
        with (
            (run_dir / layout.RUNNER_LOG).open("ab") as log,
            launch_kernel(
                spec,
                cwd=Path(request["cwd"]),
                environ=environ,
                transport=request["kernel_transport"],
                log=log,
                start=given.start,
            ) as kernel,
        ):
            from dayfly.runner.entry import run_with

            return run_with(run_dir, kernel, on_state, given.facts).state.exit_code
    except Exception as error:  # noqa: BLE001 -- whatever happened is told in result.json
        from dayfly.runner.entry import record_failure

        if not isinstance(error, DayflyError):
            import traceback

            traceback.print_exc()
        kernel_missing = isinstance(error, KernelMissingError)
        return record_failure(run_dir, error, on_state, kernel_missing=kernel_missing).state.exit_code

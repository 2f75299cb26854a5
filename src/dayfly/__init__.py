"""Run a notebook on a machine that lives exactly as long as the notebook does.

>>> import dayfly
>>> run = dayfly.run("analysis.ipynb", parameters={"alpha": 0.1})  # doctest: +SKIP
>>> run.state, run.result.message, run.output.cells[-1]  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dayfly._version import __version__

if TYPE_CHECKING:
    from dayfly import errors
    from dayfly.api import find, find_sweep, run, run_async, sweep
    from dayfly.backends.sweep_view import Sweep
    from dayfly.project.load import Project
    from dayfly.runner.for_kernels.dayfly import record
    from dayfly.runs.run import Run
    from dayfly.runs.state import State

__all__ = [
    "Project",
    "Run",
    "State",
    "Sweep",
    "__version__",
    "errors",
    "find",
    "find_sweep",
    "record",
    "run",
    "run_async",
    "sweep",
]

_HOMES = {
    "find": "dayfly.api",
    "find_sweep": "dayfly.api",
    "record": "dayfly.runner.for_kernels.dayfly",
    "run": "dayfly.api",
    "run_async": "dayfly.api",
    "sweep": "dayfly.api",
    "Project": "dayfly.project.load",
    "Run": "dayfly.runs.run",
    "State": "dayfly.runs.state",
    "Sweep": "dayfly.backends.sweep_view",
}


def __dir__() -> list[str]:
    """What there is to use, for tab completion."""
    return __all__


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the runner, which imports this package, needs none of it."""
    import importlib

    if name == "errors":
        return importlib.import_module("dayfly.errors")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dayfly' has no attribute {name!r}")

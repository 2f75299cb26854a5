"""Where the files of a run are, in words."""

from __future__ import annotations

from pathlib import Path

from dayfly.runs import layout
from dayfly.runs.run import Run


def place_of(run: Run, name: str) -> str:
    """Where a file of the run is, relative to here when it is below."""
    path = run.store.path(layout.run_key(run.run_id, name))
    if path is None:
        return f"{run.store.url.rstrip('/')}/{layout.run_key(run.run_id, name)}"
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

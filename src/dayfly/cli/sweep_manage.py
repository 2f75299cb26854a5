"""Stopping and fetching a sweep."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from dayfly.backends.sweep_view import Sweep
from dayfly.cli.sweep_text import describe_points
from dayfly.cli.text import to_stderr
from dayfly.errors import RunConflictError
from dayfly.runs.asker import user_name
from dayfly.runs.fetching import fetch_run


def stop_sweep(sweep: Sweep, *, wait: bool) -> None:
    """Ask for the end of a sweep, and say how it ended."""
    from dayfly.cli.sweep_summary import print_sweep_summary

    sweep.stop(by=user_name())
    if sweep.request.run.backend == "batch":
        from dayfly.backends.batch import end_batch

        end_batch(sweep.store, sweep.sweep_id, os.environ)
    to_stderr(f"Asked {sweep.sweep_id} to stop.")
    if wait:
        sweep.wait()
        print_sweep_summary(sweep, sweep.look())


def fetch_sweep(sweep: Sweep, directory: Path, *, overwrite: bool) -> None:
    """Copy what the runs of a sweep left, a folder a point, named by its index. Prints each file.

    Raises RunConflictError when no run has left anything.
    """
    overview = sweep.look()
    width = len(str(len(overview.points) - 1))
    fetched = missing = written = 0
    for index, state in enumerate(overview.states):
        run_id = overview.run_of(index)
        if run_id is None or state is None or not state.ended:
            missing += 1
            continue
        target = directory / f"{index:0{width}d}"
        try:
            for path in fetch_run(sweep.store, run_id, target, overwrite=overwrite):
                typer.echo(str(path))
                written += 1
            fetched += 1
        except RunConflictError as error:
            if "has left no files" not in error.what:
                raise
            missing += 1
    if not fetched:
        raise RunConflictError(
            f"No run of the sweep {sweep.sweep_id} has left files.",
            hint=f"See why with: dayfly show {sweep.sweep_id}",
        )
    if not written:
        to_stderr(f"Everything is in {directory} already.")
    if missing:
        to_stderr(f"{describe_points(missing)} {'has' if missing == 1 else 'have'} left no files.")

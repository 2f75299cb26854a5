"""A store with many runs in it, without running anything."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dayfly.runs import ids, layout
from dayfly.runs.request import PythonEnvironment, Request
from dayfly.runs.result import CellCounts, Reason, Result
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store, open_store

_NOTEBOOKS = ("analysis", "train-model", "monthly-report", "clean-data")
_SPREAD = timedelta(days=365)
_FAILS_EVERY = 7


def fill_store(path: Path, runs: int) -> None:
    """Write so many ended runs, spread evenly over the last year, as the runner would leave them."""
    store = open_store(path)
    now = datetime.now(UTC)
    for number in range(runs):
        _write_run(store, number, now - _SPREAD * (number + 1) / runs)


def _write_run(store: Store, number: int, created: datetime) -> None:
    name = _NOTEBOOKS[number % len(_NOTEBOOKS)]
    run_id = ids.new_run_id(f"{name}.ipynb", created, token=f"{number:04x}")
    state = State.FAILED if number % _FAILS_EVERY == 0 else State.SUCCEEDED
    request = Request(
        run_id=run_id,
        created=created,
        notebook=f"/project/{name}.ipynb",
        parameters={"alpha": number / 10},
        kernel="python3",
        python=PythonEnvironment(executable=sys.executable, prefix=sys.prefix, source="benchmark"),
        cwd="/project",
    )
    result = Result(
        run_id=run_id,
        state=state,
        reason=Reason.CELL_FAILED if state is State.FAILED else Reason.COMPLETED,
        message="",
        started=created,
        ended=created + timedelta(minutes=2),
        duration_s=120.0,
        cells=CellCounts(code=1, executed=int(state is State.SUCCEEDED), failed=int(state is State.FAILED)),
    )
    notebook = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
    store.create(layout.run_key(run_id, layout.REQUEST), request.to_bytes())
    store.put(layout.run_key(run_id, layout.INPUT), notebook)
    store.put(layout.run_key(run_id, layout.OUTPUT), notebook)
    store.put(layout.run_key(run_id, layout.RESULT), result.to_bytes())
    put_status(store, run_id, state, result.ended)
    status = store.path(layout.status_key(run_id))
    if status is not None:
        # When it was last written tells how long the run took.
        os.utime(status, times=(result.ended.timestamp(), result.ended.timestamp()))

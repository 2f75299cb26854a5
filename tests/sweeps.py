"""Sweeps in a store as a client makes them, and the pool that runs them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dayfly.backends.pool import start_pool
from dayfly.backends.processes import Processes
from dayfly.runs import ids, layout
from dayfly.runs.request import PythonEnvironment, Request
from dayfly.runs.run import Run
from dayfly.runs.sweep import Point, SweepRequest, encode_points, notebook_identity
from dayfly.runs.sweep_states import list_attempts
from tests.helpers import NOTEBOOKS, PATIENCE_S, Place


def make_sweep(
    place: Place,
    notebook: Path | str,
    points: Sequence[dict[str, Any]],
    *,
    kernel: str = "python3",
    **fields: Any,
) -> SweepRequest:
    """A sweep of a notebook (of tests/notebooks, when it is a name) that nobody has begun."""
    path = NOTEBOOKS / f"{notebook}.ipynb" if isinstance(notebook, str) else notebook
    content, now = path.read_bytes(), datetime.now(UTC)
    lines = encode_points([Point(parameters=each) for each in points])
    sweep_id = ids.new_run_id(path.name, now)
    request = Request(
        run_id=sweep_id,
        created=now,
        notebook=str(place.root / path.name),
        kernel=kernel,
        python=PythonEnvironment(executable=sys.executable, prefix=sys.prefix, source="a test"),
        cwd=str(place.root),
        **{name: fields.pop(name) for name in list(fields) if name in Request.model_fields},
    )
    sweep = SweepRequest(
        sweep_id=sweep_id,
        created=now,
        run=request,
        notebook_sha256=notebook_identity(content),
        base="0",
        count=len(points),
        points_sha256=hashlib.sha256(lines).hexdigest(),
        names=tuple(points[0]),
        **{"jobs": 2, **fields},
    )
    for name, data in (
        (layout.INPUT, content),
        (layout.POINTS, lines),
        (layout.SWEEP, sweep.to_bytes()),
    ):
        place.store.put(layout.sweep_key(sweep_id, name), data)
    return sweep


@contextmanager
def pool_at_work(place: Place, sweep: SweepRequest) -> Iterator[Processes]:
    """The pool of a sweep; it is asked to end, if it has not."""
    pool = start_pool(place.store, sweep.sweep_id, place.environ)
    try:
        yield pool
    finally:
        if pool.processes[0].poll() is None:
            pool.interrupt()
            assert pool.wait(PATIENCE_S), pool_log(place, sweep)


def run_pool(place: Place, sweep: SweepRequest, *, code: int = 0) -> list[Run]:
    """Run a sweep to the end of its pool; the newest attempt at each point that has one."""
    with pool_at_work(place, sweep) as pool:
        assert pool.wait(2 * PATIENCE_S), pool_log(place, sweep)
    assert pool.processes[0].returncode == code, pool_log(place, sweep)
    return newest_runs(place, sweep)


def newest_runs(place: Place, sweep: SweepRequest) -> list[Run]:
    """The newest attempt at each point that has one."""
    attempts = list_attempts(place.store, sweep.sweep_id, sweep.count)
    return [Run(attempts[index].run_id, place.store) for index in sorted(attempts)]


def pool_log(place: Place, sweep: SweepRequest) -> str:
    """What the pool said."""
    path = place.store.path(layout.sweep_key(sweep.sweep_id, "pool.log"))
    return path.read_text() if path is not None and path.exists() else ""

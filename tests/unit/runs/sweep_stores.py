"""Sweeps in stores, as far as who looks at their results sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from dayfly.runs import layout
from dayfly.runs.ids import child_id
from dayfly.runs.result import CellCounts, FailedCell, Reason
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, encode_points
from tests.unit.support import NOW, RUN_ID, make_request, make_result

SWEEP_ID = RUN_ID
PLOT = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="120" viewBox="0 0 160 120">'
    '<rect width="160" height="120" fill="#fff"/><polyline fill="none" stroke="#1769aa" '
    'stroke-width="3" points="{points}"/></svg>'
)


def put_sweep(store: Store, points: Sequence[Point], sweep_id: str = SWEEP_ID, **run: Any) -> SweepRequest:
    """A sweep of these points, of which no run has been made yet."""
    lines = encode_points(points)
    sweep = SweepRequest(
        sweep_id=sweep_id,
        created=NOW,
        run=make_request(sweep_id, **run),
        notebook_sha256="0" * 64,
        base="0" * 64,
        count=len(points),
        points_sha256=hashlib.sha256(lines).hexdigest(),
        names=tuple(dict.fromkeys(name for point in points for name in point.parameters)),
    )
    store.put(layout.sweep_key(sweep_id, layout.POINTS), lines)
    store.put(layout.sweep_key(sweep_id, layout.SWEEP), sweep.to_bytes())
    return sweep


def put_point(
    store: Store,
    sweep: SweepRequest,
    index: int,
    state: State = State.SUCCEEDED,
    *,
    attempt: int = 1,
    records: dict[str, Any] | None = None,
    message: str = "Every cell was executed.",
    duration_s: float = 5.0,
    output: dict[str, Any] | None = None,
) -> str:
    """A run of a point in a state; with a result when it has ended. Returns its id."""
    run_id = child_id(sweep.sweep_id, index, sweep.count, attempt)
    if state.ended:
        failed = FailedCell(number=3, ename="ValueError") if state is State.FAILED else None
        result = make_result(
            run_id,
            state,
            reason=Reason.CELL_FAILED if failed else Reason.COMPLETED,
            message=message,
            records=records or {},
            duration_s=duration_s,
            ended=NOW + timedelta(seconds=duration_s),
            failed_cell=failed,
            cells=CellCounts(code=2, executed=2),
        )
        store.put(layout.run_key(run_id, layout.RESULT), result.to_bytes())
    if output is not None:
        store.put(layout.run_key(run_id, layout.OUTPUT), json.dumps(output).encode())
    put_status(store, run_id, state, NOW)
    return run_id

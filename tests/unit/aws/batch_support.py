"""Submissions of sweeps to Batch as the store has them, and when their runs said their last word."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from dayfly.runs import layout
from dayfly.runs.batch_record import ArrayJob, BatchSubmission
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, encode_points
from dayfly.runs.sweep_batch import children_key, encode_children
from tests.unit.support import NOW

POINTS = [Point(parameters={"x": number}) for number in range(4)]
PRICE = Decimal(36)
"""A cent a second."""
ATTEMPT_S = 900.0


def submission(
    store: Store,
    sweep: SweepRequest,
    wanted: Sequence[tuple[int, int]] = ((0, 1), (1, 1), (2, 1), (3, 1)),
    *,
    number: int = 1,
    price: Decimal | None = PRICE,
) -> BatchSubmission:
    """A submission of these points, in array jobs of two."""
    store.put(children_key(sweep.sweep_id, number), encode_children(encode_points(POINTS), wanted))
    return BatchSubmission(
        sweep_id=sweep.sweep_id,
        number=number,
        created=NOW,
        project="p",
        region="r",
        queue="q",
        definition="d",
        spot=True,
        vcpus=1,
        memory_mib=1800,
        timeout_s=600.0,
        attempt_s=ATTEMPT_S,
        queue_budget_s=3600.0,
        deadline=NOW + timedelta(hours=5),
        price_per_hour=price,
        most_cost=None if price is None else price * len(wanted),
        arrays=tuple(
            ArrayJob(name=f"{number}-{first}", schedule="s", first=first, size=2, job_id=f"{number}-{first}")
            for first in range(0, len(wanted), 2)
        ),
    )


def last_word(store: Store, run_id: str, at: datetime) -> None:
    """Let the status object of a run have been written at this moment."""
    path = store.path(layout.status_key(run_id))
    assert path is not None
    os.utime(path, (at.timestamp(), at.timestamp()))

"""A sweep in one word, where nobody's lock tells whether anybody works on it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from dayfly.backends.sweep_removal import remove_point
from dayfly.backends.sweep_view import Sweep
from dayfly.runs import layout
from dayfly.runs.batch_record import ArrayJob, BatchSubmission, record_key
from dayfly.runs.state import State
from dayfly.runs.store import open_store
from dayfly.runs.sweep import Point, SweepRequest, encode_points
from tests.unit.runs.sweep_stores import put_point, put_sweep
from tests.unit.support import RUN_ID, make_request, recording_store

NOW = datetime.now(UTC)


def sweep_on_batch(*submissions: dict[str, Any]) -> Sweep:
    """Two points that nobody has begun, and what was submitted for them."""
    store = recording_store()
    points = encode_points([Point(parameters={"n": n}) for n in range(2)])
    request = SweepRequest(
        sweep_id=RUN_ID,
        created=NOW - timedelta(days=1),
        run=make_request(backend="batch"),
        notebook_sha256="",
        base="",
        count=2,
        points_sha256=hashlib.sha256(points).hexdigest(),
        names=("n",),
    )
    store.put(layout.sweep_key(RUN_ID, layout.POINTS), points)
    store.put(layout.sweep_key(RUN_ID, layout.SWEEP), request.to_bytes())
    for number, changed in enumerate(submissions, 1):
        record = BatchSubmission(
            sweep_id=RUN_ID,
            number=number,
            created=NOW,
            project="p",
            region="eu-central-1",
            queue="q",
            definition="d",
            spot=False,
            vcpus=1,
            memory_mib=1800,
            timeout_s=600.0,
            attempt_s=900.0,
            queue_budget_s=3600.0,
            **changed,
        )
        store.put(record_key(RUN_ID, number), record.to_bytes())
    return Sweep(RUN_ID, store)


def a_submission(
    *, left: timedelta = timedelta(days=1), ended: Literal["", "queue_timed_out"] = ""
) -> dict[str, Any]:
    """What becomes of its deadline and its only array job."""
    job = ArrayJob(name="n", schedule="s", first=0, size=2, job_id="j", ended=ended)
    return {"deadline": NOW + left, "arrays": (job,)}


@pytest.mark.parametrize(
    ("submissions", "state"),
    [
        ([], State.INTERRUPTED),
        ([a_submission()], State.RUNNING),
        ([a_submission(ended="queue_timed_out")], State.INTERRUPTED),
        ([a_submission(left=timedelta(days=-1))], State.INTERRUPTED),
        ([a_submission(ended="queue_timed_out"), a_submission()], State.RUNNING),
    ],
)
def test_a_sweep_on_batch_runs_as_long_as_batch_may_begin_its_points(
    submissions: list[dict[str, Any]], state: State
) -> None:
    assert sweep_on_batch(*submissions).state is state


def test_results_are_rows_by_the_columns_of_the_command(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    points = [Point(parameters={"alpha": 0.1, "state": "x"}), Point(parameters={"alpha": 0.2})]
    sweep = put_sweep(store, points, parameters={"seed": 7})
    put_point(store, sweep, 0, records={"rmse": 0.5}, duration_s=5.0)
    first, second = Sweep(sweep.sweep_id, store).results()
    assert (first["point"], first["alpha"], first["rmse"], first["duration_s"]) == (0, 0.1, 0.5, 5.0)
    assert (first["state"], first["parameter.state"]) == ("succeeded", "x"), "names are told apart"
    assert (second["state"], second["rmse"], second["cost_dollars"]) == (None, None, None)
    assert list(first) == list(second)
    assert [row["seed"] for row in (first, second)] == [7, 7], "what all points share is told of each"


def test_the_results_of_a_point_that_was_removed_and_run_again_are_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of a store elsewhere is kept by the run's id, and the new run has that of the old."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = replace(recording_store(), url="s3://bucket")
    request = put_sweep(store, [Point(parameters={"alpha": 0.1})])
    sweep = Sweep(request.sweep_id, store)
    for rmse in (1, 2):
        run_id = put_point(store, request, 0, records={"rmse": rmse})
        assert [row["rmse"] for row in sweep.results()] == [rmse]
        remove_point(store, run_id)

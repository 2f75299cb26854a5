"""The table of a sweep: what it says, and how much it asks for."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from dayfly.errors import DamagedFileError, RunNotFoundError
from dayfly.runs import layout
from dayfly.runs.ids import child_id
from dayfly.runs.machine import MachineSource
from dayfly.runs.state import State
from dayfly.runs.store import Store, open_store
from dayfly.runs.sweep import Point
from dayfly.runs.sweep_results import load_sweep, load_table
from tests.unit.runs.sweep_stores import SWEEP_ID, put_point, put_sweep
from tests.unit.support import NOW, RecordingStore

POINTS = [Point(parameters={"alpha": alpha}) for alpha in (0.1, 0.2, 0.3, 0.4, 0.5)]


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store("memory://" if request.param == "memory" else tmp_path / "store")


def test_a_row_a_point_whatever_became_of_it(store: Store) -> None:
    sweep = put_sweep(store, POINTS)
    put_point(store, sweep, 0, records={"rmse": 0.5})
    put_point(store, sweep, 1, State.FAILED, message="Cell 3 raised ValueError", records={"n": 1})
    put_point(store, sweep, 2, State.RUNNING)
    table = load_table(store, SWEEP_ID, now=NOW)
    assert [row.state for row in table.rows][:2] == [State.SUCCEEDED, State.FAILED]
    assert [row.parameters["alpha"] for row in table.rows] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert table.record_names == ("rmse", "n")
    first, failed = table.rows[:2]
    assert (first.records, first.duration_s, first.started) == ({"rmse": 0.5}, 5.0, NOW)
    assert (failed.message, failed.failed_cell, failed.reason) == (
        "Cell 3 raised ValueError",
        3,
        "cell_failed",
    )
    assert [row.run_id for row in table.rows[3:]] == [None, None]
    assert next(row.index for row in table.failures_first()) == 1
    assert table.cost is None


def test_the_newest_attempt_counts(store: Store) -> None:
    sweep = put_sweep(store, POINTS)
    put_point(store, sweep, 0, State.FAILED, records={"rmse": 9})
    put_point(store, sweep, 0, attempt=2, records={"rmse": 1})
    row = load_table(store, SWEEP_ID).rows[0]
    assert (row.state, row.attempt, row.records) == (State.SUCCEEDED, 2, {"rmse": 1})
    assert row.run_id == f"{SWEEP_ID}.0.2"


def test_a_run_of_an_earlier_sweep_stands_for_a_point_and_costs_nothing(store: Store) -> None:
    machine = MachineSource(
        project="p",
        region="eu-central-1",
        instance_type="c7i.large",
        arch="x86_64",
        ami="ami-0",
        disk_gib=30,
        boot_budget_s=900,
        deadline=NOW,
        price_per_hour=Decimal("0.36"),
    )
    earlier = put_sweep(store, POINTS, "20261122-101502-analysis-7f3a", machine=machine)
    reused = put_point(store, earlier, 3, records={"rmse": 7})
    sweep = put_sweep(store, [*POINTS[:1], Point(parameters={"alpha": 0.4}, run=reused)], machine=machine)
    put_point(store, sweep, 0, duration_s=100.0)
    table = load_table(store, SWEEP_ID)
    assert [row.cost for row in table.rows] == [Decimal("0.01"), Decimal(0)]
    assert table.cost == Decimal("0.01")
    assert (table.rows[1].run_id, table.rows[1].reused, table.rows[1].records) == (reused, True, {"rmse": 7})


def test_where_points_share_machines_the_price_is_of_one_point(store: Store) -> None:
    sweep = put_sweep(store, POINTS[:1])
    priced = sweep.model_copy(update={"price_per_hour": Decimal("0.072")})
    store.put(layout.sweep_key(SWEEP_ID, layout.SWEEP), priced.to_bytes())
    put_point(store, sweep, 0, duration_s=50.0)
    assert load_table(store, SWEEP_ID).cost == Decimal("0.001")


def test_a_run_that_left_no_result_has_the_state_that_is_told_of_it(store: Store) -> None:
    sweep = put_sweep(store, POINTS)
    put_point(store, sweep, 0, State.RUNNING)
    table = load_table(store, SWEEP_ID, now=NOW + timedelta(days=1000))
    assert table.rows[0].state is State.LOST
    assert table.rows[0].failed


def test_nan_is_a_value_like_others(store: Store) -> None:
    sweep = put_sweep(store, POINTS)
    put_point(store, sweep, 0, records={"rmse": float("nan"), "most": float("inf")})
    records = load_table(store, SWEEP_ID).rows[0].records
    assert math.isnan(records["rmse"])
    assert records["most"] == math.inf


def test_a_damaged_result_costs_its_own_row_alone(store: Store) -> None:
    sweep = put_sweep(store, POINTS)
    run_id = put_point(store, sweep, 0, records={"rmse": 1})
    put_point(store, sweep, 1, records={"rmse": 2})
    store.put(layout.run_key(run_id, layout.RESULT), b'{"state": "succ')
    rows = load_table(store, SWEEP_ID).rows
    assert (rows[0].state, rows[0].records) == (State.SUCCEEDED, {})
    assert rows[1].records == {"rmse": 2}


def test_points_that_are_not_those_asked_for_are_refused(store: Store) -> None:
    put_sweep(store, POINTS)
    store.put(layout.sweep_key(SWEEP_ID, layout.POINTS), b'{"parameters":{}}\n')
    with pytest.raises(DamagedFileError, match=r"points\.jsonl is damaged"):
        load_sweep(store, SWEEP_ID)
    store.delete([layout.sweep_key(SWEEP_ID, layout.POINTS)])
    with pytest.raises(DamagedFileError, match="not there"):
        load_sweep(store, SWEEP_ID)
    with pytest.raises(RunNotFoundError):
        load_sweep(store, "20261123-000000-other-0000")


def elsewhere(url: str = "s3://bucket") -> RecordingStore:
    """A store in memory that goes by the name of one elsewhere, and notes what it is asked."""
    return RecordingStore(objects=MemoryStore(), url=url)


def results_asked(store: RecordingStore) -> list[str]:
    return [call[1] for call in store.calls if call[0] == "get" and call[1].endswith(layout.RESULT)]


def test_what_was_read_once_is_not_asked_for_again(tmp_path: Path) -> None:
    """Results are immutable: the second look asks for what has ended since, and for nothing else."""
    store = elsewhere()
    sweep = put_sweep(store, POINTS)
    for index in range(3):
        put_point(store, sweep, index, records={"rmse": index})
    first = load_table(store, SWEEP_ID, cache=tmp_path)
    assert len(results_asked(store)) == 3
    put_point(store, sweep, 3, records={"rmse": 3})
    store.calls.clear()
    second = load_table(store, SWEEP_ID, cache=tmp_path)
    assert results_asked(store) == [layout.run_key(child_id(SWEEP_ID, 3, 5), layout.RESULT)]
    assert second.rows[:3] == first.rows[:3]
    assert [row.records.get("rmse") for row in second.rows] == [0, 1, 2, 3, None]


def test_a_damaged_cache_is_as_good_as_none(tmp_path: Path) -> None:
    store = elsewhere()
    sweep = put_sweep(store, POINTS)
    put_point(store, sweep, 0, records={"rmse": 1})
    expected = load_table(store, SWEEP_ID, cache=tmp_path).rows
    (file,) = tmp_path.iterdir()
    for damage in (file.read_bytes()[:40], b"\xff\n[]\n3\n{}\n", b""):
        file.write_bytes(damage)
        assert load_table(store, SWEEP_ID, cache=tmp_path).rows == expected
        assert load_table(store, SWEEP_ID, cache=tmp_path).rows == expected
    assert file.stat().st_mode & 0o77 == 0


def test_a_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    store = elsewhere()
    sweep = put_sweep(store, POINTS)
    put_point(store, sweep, 0, records={"rmse": 1})
    (tmp_path / "file").touch()
    assert load_table(store, SWEEP_ID, cache=tmp_path / "file").rows[0].records == {"rmse": 1}


def test_two_stores_do_not_share_what_is_kept(tmp_path: Path) -> None:
    """The same sweep id in two stores: each has its own results."""
    for url, rmse in (("s3://one", 1), ("s3://other", 2)):
        store = elsewhere(url)
        put_point(store, put_sweep(store, POINTS), 0, records={"rmse": rmse})
        assert load_table(store, SWEEP_ID, cache=tmp_path).rows[0].records == {"rmse": rmse}

"""What `dayfly cost` and `dayfly results` say of sweeps on Batch."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from dayfly.aws.sweep_cost import cost_of_point, cost_of_sweep
from dayfly.backends.sweep_view import Sweep
from dayfly.cli.cost_text import print_cost, print_costs, run_to_json
from dayfly.cli.sweep_details import print_sweep_details
from dayfly.cli.sweep_table import print_sweep
from dayfly.runs.batch_record import BatchSubmission, record_key
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Store, open_store
from dayfly.runs.sweep_results import load_table
from tests.unit.aws.batch_support import POINTS, PRICE, last_word, submission
from tests.unit.runs.sweep_stores import SWEEP_ID, put_point, put_sweep
from tests.unit.support import NOW

LATER = NOW + timedelta(hours=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def put_submission(store: Store, price: Decimal | None = PRICE) -> BatchSubmission:
    """A sweep of four points, submitted once; points 0 and 1 ran for 40 s, 1 at its second attempt."""
    sweep = put_sweep(store, POINTS, backend="batch")
    record = submission(store, sweep, price=price)
    store.put(record_key(SWEEP_ID, 1), record.to_bytes())
    for index, attempt in ((0, 1), (1, 2)):
        run_id = put_point(store, sweep, index, attempt=attempt, duration_s=40.0)
        last_word(store, run_id, NOW + timedelta(seconds=40))
    last_word(store, put_point(store, sweep, 1, State.RUNNING), NOW)  # its machine was taken back
    return record


def test_a_sweep_costs_all_attempts_at_its_points(store: Store) -> None:
    put_submission(store)
    cost = cost_of_sweep(store, SWEEP_ID, now=LATER)
    assert cost.dollars == pytest.approx(Decimal("1.00") + Decimal("1.00") + Decimal("9.00"))
    assert cost.share is not None
    assert (cost.share.attempts, cost.certainty, cost.paid) == (3, "at most", True)


def test_a_sweep_that_goes_on_has_cost_so_much_so_far() -> None:
    store = open_store("memory://")
    sweep = put_sweep(store, POINTS, backend="batch")
    store.put(record_key(SWEEP_ID, 1), submission(store, sweep).to_bytes())
    put_point(store, sweep, 2, State.RUNNING)
    cost = cost_of_sweep(store, SWEEP_ID, now=NOW + timedelta(seconds=100))
    assert (cost.certainty, cost.dollars) == ("so far", Decimal(1))


def test_a_point_costs_its_own_attempt(store: Store) -> None:
    put_submission(store)
    run = Run(f"{SWEEP_ID}.0", store)
    cost = cost_of_point(run, State.SUCCEEDED, now=LATER)
    assert cost.dollars == pytest.approx(Decimal("1.00"))
    assert cost.state is State.SUCCEEDED


def test_a_price_that_was_unknown_makes_the_cost_unknown(store: Store) -> None:
    put_submission(store, price=None)
    cost = cost_of_sweep(store, SWEEP_ID, now=LATER)
    assert cost.dollars is None
    assert cost.paid


def test_a_sweep_that_is_not_on_batch_has_cost_nothing(store: Store) -> None:
    put_point(store, put_sweep(store, POINTS), 0)
    assert not cost_of_sweep(store, SWEEP_ID, now=LATER).paid


def test_it_is_said_that_it_is_a_bound(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    put_submission(store)
    cost = cost_of_sweep(store, SWEEP_ID, now=LATER)
    print_costs([cost], 0, None, since="30d")
    printed = capsys.readouterr()
    assert "Batch, 1 vCPU spot" in printed.out
    assert "at most" in printed.out
    assert "dearest price that Batch may have paid" in printed.err
    print_cost(cost, (), None)
    shown = capsys.readouterr().out
    assert "$36.0000/h at most" in shown
    assert "3 attempts" in shown
    assert "$11.00 at most" in shown


def test_programs_read_the_share_and_its_price(store: Store) -> None:
    put_submission(store)
    said = run_to_json(cost_of_sweep(store, SWEEP_ID, now=LATER), (), None)
    assert (said["machine"], said["certainty"]) == (None, "at most")
    assert (said["batch"]["attempts"], said["batch"]["price_per_hour"]) == (3, "36")


def test_the_table_of_a_sweep_has_what_each_point_cost(store: Store) -> None:
    """By the notebook's own time, as for every other backend."""
    put_submission(store)
    table = load_table(store, SWEEP_ID, now=LATER)
    assert [row.cost for row in table.rows] == [Decimal("0.40"), Decimal("0.40"), None, None]
    assert table.cost == Decimal("0.80")


def test_results_and_show_say_that_it_is_a_bound(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    put_submission(store)
    print_sweep(load_table(store, SWEEP_ID, now=LATER), everything=False, width=None)
    assert "at most $0.80 by the time that they ran" in capsys.readouterr().err
    print_sweep_details(Sweep(SWEEP_ID, store), as_json=False)
    assert "at most $0.8000" in capsys.readouterr().out

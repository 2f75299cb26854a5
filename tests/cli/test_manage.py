"""`dayfly stop`, `dayfly rm` and `dayfly prune`."""

from __future__ import annotations

import pytest

from dayfly.runs import layout
from dayfly.runs.state import State
from tests.helpers import Place, assert_nothing_runs, cell_states, output_of, run_dir_of
from tests.unit.support import make_result, put_run


def test_stop_ends_a_run_as_cancelled_with_what_there_is(place: Place) -> None:
    with place.running("sleeps", says="asleep") as run:
        done = place.cli("stop", run.run_id)
        assert "cancelled" in done.err
        assert run.state is State.CANCELLED
        assert cell_states(output_of(run)) == ["executed", "interrupted", "not_run"]
        assert "The run was stopped (dayfly stop)." in place.show(run)
        assert_nothing_runs(run)
        again = place.cli("stop", run.run_id, code=4)
        assert "has ended already (cancelled)" in again.err
        assert place.cli("attach", run.run_id, code=12).out == ""


def test_stop_reaches_a_cell_that_ignores_interrupts(place: Place) -> None:
    with place.running("hangs", "--grace", "1s", says="deaf from now on") as run:
        place.cli("stop", run.run_id)
        assert run.state is State.CANCELLED
        assert_nothing_runs(run)


def test_rm_removes_runs_and_all_their_files(place: Place) -> None:
    one, other = place.run("hello")[0], place.run("hello")[0]
    done = place.cli("rm", one.run_id, other.run_id)
    assert done.out.split() == [one.run_id, other.run_id]
    for run in (one, other):
        assert not run_dir_of(run).exists()
        assert list(place.store.list(layout.STATUS)) == []
    assert "There is no run" in place.cli("rm", one.run_id, code=3).err


def test_rm_refuses_a_run_that_goes_on(place: Place) -> None:
    with place.running("sleeps", says="asleep") as run:
        done = place.cli("rm", run.run_id, code=4)
        assert "has not ended (running)" in done.err
        assert f"dayfly stop {run.run_id}" in done.err
        assert run_dir_of(run).exists()


def test_two_may_prune_at_once(place: Place) -> None:
    old = [put_run(place.store, f"20200101-000000-old-{number:04x}") for number in range(40)]
    for run_id in old:
        place.store.put(layout.run_key(run_id, layout.RESULT), make_result(run_id).to_bytes())
    prune = ("prune", "--older-than", "30d", "--yes")
    with place.started(*prune) as one, place.started(*prune) as other:
        said = [process.communicate(timeout=60)[1].decode() for process in (one, other)]
        assert (one.returncode, other.returncode) == (0, 0), said
    assert [*place.store.list(layout.STATUS), *place.store.list(layout.RUNS)] == []


@pytest.mark.parametrize(("tried", "meant"), [("list", "ps"), ("compare", "diff"), ("cancel", "stop")])
def test_what_other_programs_call_a_command_is_told_what_it_is_here(
    place: Place, tried: str, meant: str
) -> None:
    assert f"No such command '{tried}'. Did you mean '{meant}'?" in place.cli(tried, code=2).err


def test_prune_removes_what_is_older_and_asks_first(place: Place) -> None:
    run, _ = place.run("no_parameters")
    assert "No runs are older than 30d." in place.cli("prune", "--older-than", "30d").err
    tried = place.cli("prune", "--older-than", "1ms", "--dry-run")
    assert (tried.out.strip(), tried.err.strip()) == (run.run_id, "Would remove 1 run.")
    place.cli("prune", "--older-than", "1ms", stdin=b"n\n", code=1)
    assert run_dir_of(run).exists()
    assert place.cli("prune", "--older-than", "1ms", "--yes").out.strip() == run.run_id
    assert not run_dir_of(run).exists()
    assert (
        "--older-than 'soon' should be a duration" in place.cli("prune", "--older-than", "soon", code=2).err
    )

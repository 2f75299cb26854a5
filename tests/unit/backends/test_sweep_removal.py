"""Sweeps among other runs: how they are named and listed, and how they go."""

from __future__ import annotations

import pytest

from dayfly.backends.stores import Stores
from dayfly.backends.sweep_listing import list_with_sweeps
from dayfly.backends.sweep_names import find_named, parse_name
from dayfly.backends.sweep_removal import remove_point, remove_run_or_attempt, remove_sweep
from dayfly.backends.sweep_start import go_on
from dayfly.backends.sweep_view import Sweep
from dayfly.errors import RunConflictError, RunNotFoundError
from dayfly.runs.catalog import SweepCounts, list_runs
from dayfly.runs.run import Run
from dayfly.runs.state import State
from tests.unit.backends.sweep_desk import ENVIRON, Desk, FakePool
from tests.unit.support import put_run


class TestNamesAndListings:
    def test_a_sweep_is_listed_once(self, desk: Desk) -> None:
        first = desk.run("a=1..30", pool=FakePool(ends={1: State.FAILED}))
        put_run(desk.store)
        second = desk.run("a=1..2", wish={"force": True})
        listed = list_with_sweeps(desk.store, newest=3)
        by_id = {run.run_id: run for run in listed}
        assert by_id[first.sweep_id].counts == SweepCounts(points=30, done=30, failed=1)
        assert by_id[second.sweep_id].state is State.SUCCEEDED
        assert len(listed) == 3
        assert len(list_runs(desk.store)) == 33
        assert len(list_with_sweeps(desk.store, newest=1)) == 1

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            ("last", ("last", None, None)),
            ("last[7]", ("last", 7, None)),
            ("S.7", ("S", 7, None)),
            ("S.007.2", ("S", 7, 2)),
            ("S[7].2", ("S", 7, 2)),
            ("S[7", ("S[7", None, None)),
        ],
    )
    def test_the_parts_of_a_name(self, name: str, parts: tuple[str, int | None, int | None]) -> None:
        named = parse_name(name)
        assert (named.whole, named.index, named.attempt) == parts

    def test_a_sweep_and_its_points_are_found(self, desk: Desk) -> None:
        sweep = desk.run("a=1..12", pool=FakePool(ends={1: State.LOST}))
        go_on(sweep, ENVIRON, FakePool())
        stores = Stores(local=desk.store)

        def found(name: str) -> str:
            thing, _ = find_named(stores, name)
            return thing.sweep_id if isinstance(thing, Sweep) else thing.run_id

        sweep_id = sweep.sweep_id
        assert [found(name) for name in ("last", sweep_id, sweep_id[:11])] == [sweep_id] * 3
        assert [found(f"{name}.1") for name in ("last", sweep_id)] == [f"{sweep_id}.01.2"] * 2
        assert found("last[1].1") == f"{sweep_id}.01"
        for wrong in ("last.12", "last.1.9", "nothing", "nothing.1"):
            with pytest.raises(RunNotFoundError):
                found(wrong)

    def test_the_last_points_are_those_of_the_last_sweep_also_when_a_run_came_after_it(
        self, desk: Desk
    ) -> None:
        sweep = desk.run("a=1,2")
        later = put_run(desk.store, "20991123-101502-analysis-7f3a")
        stores = Stores(local=desk.store)
        found = [find_named(stores, name)[0] for name in ("last", "last.1")]
        assert [run.run_id for run in found if isinstance(run, Run)] == [later, f"{sweep.sweep_id}.1"]

    def test_a_run_has_no_points(self, desk: Desk) -> None:
        run_id = put_run(desk.store)
        with pytest.raises(RunNotFoundError, match="no points"):
            find_named(Stores(local=desk.store), f"{run_id}[0]")


def tried_twice(desk: Desk, second: State = State.SUCCEEDED) -> Sweep:
    """Twelve points, of which one failed, was asked for again, and then ended otherwise."""
    sweep = desk.run("a=1..12", pool=FakePool(ends={1: State.FAILED}))
    sweep.retry([1])
    go_on(sweep, ENVIRON, FakePool(ends={1: second}))
    return sweep


class TestRemoving:
    def test_a_sweep_goes_whole(self, desk: Desk) -> None:
        sweep = desk.run("a=1..3")
        assert remove_sweep(desk.store, sweep.sweep_id) == 3
        assert list(desk.store.list("")) == []

    def test_not_while_another_sweep_needs_its_runs(self, desk: Desk) -> None:
        first = desk.run("a=1..3")
        second = desk.run("a=1..4")
        with pytest.raises(RunConflictError, match="stand for points of " + second.sweep_id):
            remove_sweep(desk.store, first.sweep_id)
        remove_sweep(desk.store, second.sweep_id)
        remove_sweep(desk.store, first.sweep_id)
        assert list(desk.store.list("")) == []

    def test_no_run_alone_that_another_sweep_needs(self, desk: Desk) -> None:
        first = desk.run("a=1..3")
        second = desk.run("a=1..2,9")
        with pytest.raises(RunConflictError, match="stands for a point of " + second.sweep_id):
            remove_run_or_attempt(desk.store, f"{first.sweep_id}.0")
        remove_run_or_attempt(desk.store, f"{first.sweep_id}.2")
        assert first.states == [State.SUCCEEDED, State.SUCCEEDED, None]
        assert second.states == [State.SUCCEEDED] * 3
        alone = put_run(desk.store, state=State.SUCCEEDED)
        remove_run_or_attempt(desk.store, alone)

    def test_a_point_goes_with_all_its_attempts(self, desk: Desk) -> None:
        sweep = tried_twice(desk)
        runs = [f"{sweep.sweep_id}.01", f"{sweep.sweep_id}.01.2"]
        assert remove_point(desk.store, runs[1]) == runs
        assert (sweep.states[1], sweep.look().run_of(1), sweep.look().open) == (None, None, {1: 1})
        assert len(list_runs(desk.store)) == 11

    def test_a_point_that_was_removed_is_run_once(self, desk: Desk) -> None:
        """What was asked for again before is forgotten with the attempts that came of it."""
        sweep = tried_twice(desk)
        remove_point(desk.store, f"{sweep.sweep_id}.01.2")
        go_on(sweep, ENVIRON, FakePool())
        assert (sweep.states[1], sweep.look().open) == (State.SUCCEEDED, {})

    @pytest.mark.parametrize(("attempt", "left"), [(".2", State.FAILED), ("", State.SUCCEEDED)])
    def test_of_an_attempt_alone_the_other_one_tells(self, desk: Desk, attempt: str, left: State) -> None:
        sweep = tried_twice(desk)
        remove_run_or_attempt(desk.store, f"{sweep.sweep_id}.01{attempt}")
        assert (sweep.states[1], sweep.look().open) == (left, {})
        assert sweep.run(1).state is left

    def test_a_point_of_which_another_sweep_needs_any_attempt_stays_whole(self, desk: Desk) -> None:
        first = desk.run("a=1..12")
        second = desk.run("a=1..12,99")
        first.retry([1])
        go_on(first, ENVIRON, FakePool())
        with pytest.raises(RunConflictError, match=f"{first.sweep_id}.01 stands for .* {second.sweep_id}"):
            remove_point(desk.store, f"{first.sweep_id}.01.2")
        assert len(list_runs(desk.store)) == 14

    def test_a_point_that_goes_on_stays_whole(self, desk: Desk) -> None:
        sweep = tried_twice(desk, State.REQUESTED)
        with pytest.raises(RunConflictError, match="has not ended"):
            remove_point(desk.store, f"{sweep.sweep_id}.01")
        assert len(list_runs(desk.store)) == 13

    def test_not_while_it_is_at_work(self, desk: Desk) -> None:
        sweep = desk.run("a=1..3", pool=FakePool(ends={0: State.REQUESTED}))
        with pytest.raises(RunConflictError, match="has not ended"):
            remove_sweep(desk.store, sweep.sweep_id)

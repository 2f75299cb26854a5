"""A sweep before and when it begins: checks, what was run before, going on, stopping, removing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from dayfly.backends.pool import pool_directory
from dayfly.backends.sweep_creation import ask_sweep_to_stop, asked_to_stop, create_sweep
from dayfly.backends.sweep_plan import digest_of
from dayfly.backends.sweep_removal import remove_sweep
from dayfly.backends.sweep_start import go_on
from dayfly.backends.sweep_view import Sweep
from dayfly.errors import ParameterError, RunConflictError, UsageError
from dayfly.runs import layout
from dayfly.runs.lock import acquire_lock
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.sweep import decode_points
from tests.unit.backends.sweep_desk import ENVIRON, Desk, FakePool
from tests.unit.support import code_cell, make_notebook, tagged, to_content


class TestPlanning:
    def test_types_are_those_that_the_notebook_declares(self, desk: Desk) -> None:
        plan = desk.plan("a=1..2", "b=3,true")
        assert [point.parameters for point in plan.points] == [
            {"a": a, "b": b} for a in (1, 2) for b in ("3", "true")
        ]
        assert plan.sweep.names == ("a", "b")

    @pytest.mark.parametrize("pairs", [["a=1,x"], ["a=1..9,0.5"], ["a=1,2", "c=1"], ["a=1,2", "c=1,2"]])
    def test_what_is_wrong_with_any_point_is_told_and_nothing_is_created(
        self, desk: Desk, pairs: list[str]
    ) -> None:
        with pytest.raises(ParameterError):
            desk.plan(*pairs)
        assert list(desk.store.list("")) == []

    @pytest.mark.parametrize("wish", [{"jobs": 0}, {"retries": -1}, {"retries": 99}])
    def test_numbers_that_make_no_sense_are_refused(self, desk: Desk, wish: Mapping[str, Any]) -> None:
        with pytest.raises(UsageError):
            desk.plan("a=1,2", wish=wish)

    def test_more_at_once_than_the_machine_can_hold_is_refused(self, desk: Desk) -> None:
        """No more than there are points are ever at once, however many were asked for."""
        assert desk.plan("a=1..3", wish={"jobs": 100_000}).sweep.jobs == 100_000
        with pytest.raises(UsageError, match="cannot hold 100,000 runs at once"):
            desk.plan("a=1..100000", wish={"jobs": 100_000})
        assert list(desk.store.list("")) == []

    def test_the_sweep_is_in_the_store_whole(self, desk: Desk) -> None:
        sweep = desk.run("a=1,2", "b=shared", wish={"jobs": 3, "retries": 1})
        request = sweep.request
        assert (request.count, request.jobs, request.retries) == (2, 3, 1)
        assert request.run.parameters == {"b": "shared"}
        content = desk.store.get(layout.sweep_key(sweep.sweep_id, layout.POINTS)) or b""
        assert [point.parameters for point in decode_points(content)] == [{"a": 1}, {"a": 2}]
        notebook = desk.store.get(layout.sweep_key(sweep.sweep_id, layout.INPUT))
        assert notebook == (desk.folder / "nb.ipynb").read_bytes()
        assert desk.store.exists(layout.sweep_base_key(request.base, sweep.sweep_id))

    def test_an_id_that_is_taken_is_replaced_and_nothing_overwritten(self, desk: Desk) -> None:
        plan = desk.plan("a=1,2")
        taken = layout.sweep_key(plan.sweep.sweep_id, layout.POINTS)
        desk.store.put(taken, b"another's")
        sweep = create_sweep(desk.store, plan)
        assert sweep.sweep_id != plan.sweep.sweep_id
        assert sweep.run.run_id == sweep.sweep_id
        assert desk.store.get(taken) == b"another's"
        assert len(Sweep(sweep.sweep_id, desk.store).points) == 2


class TestAgain:
    def test_the_same_points_go_on_with_the_same_sweep(self, desk: Desk) -> None:
        pool = FakePool(ends={1: State.INTERRUPTED, 2: State.FAILED})
        first = desk.run("a=1..4", pool=pool)
        again = FakePool()
        second = desk.run("a=4,3,2,1", pool=again)
        assert second.sweep_id == first.sweep_id
        assert again.ran == [(1, 2)]
        assert [str(state) for state in second.states] == ["succeeded", "succeeded", "failed", "succeeded"]

    def test_what_is_whole_is_not_begun_again(self, desk: Desk) -> None:
        desk.run("a=1..4")
        pool = FakePool()
        assert desk.run("a=1..4", pool=pool).state is State.SUCCEEDED
        assert pool.started == []

    def test_more_points_make_a_sweep_that_points_to_earlier_runs(self, desk: Desk) -> None:
        first = desk.run("a=1..4", pool=FakePool(ends={1: State.FAILED}))
        pool = FakePool()
        second = desk.run("a=0..4", pool=pool)
        assert second.sweep_id != first.sweep_id
        assert [point.run for point in second.points] == [
            None,
            f"{first.sweep_id}.0",
            None,
            f"{first.sweep_id}.2",
            f"{first.sweep_id}.3",
        ]
        assert pool.ran == [(0, 1), (2, 1)]
        assert second.look().reused == 3
        assert second.run(1) == Run(f"{first.sweep_id}.0", desk.store)

    def test_a_parameter_may_be_shared_in_one_and_not_in_the_other(self, desk: Desk) -> None:
        first = desk.run("a=1..3", "b=x")
        assert [point.run for point in desk.run("a=1,2", "b=x,y").points] == [
            f"{first.sweep_id}.0",
            None,
            f"{first.sweep_id}.1",
            None,
        ]

    def test_force_runs_all_in_a_sweep_of_its_own(self, desk: Desk) -> None:
        first = desk.run("a=1..3")
        pool = FakePool()
        assert desk.run("a=1..3", pool=pool, wish={"force": True}).sweep_id != first.sweep_id
        assert len(pool.ran) == 3

    def test_another_notebook_has_nothing_to_do_with_it(self, desk: Desk) -> None:
        desk.run("a=1..3")
        notebook = make_notebook(tagged("parameters", "a: int = 1"), code_cell("a + 1"))
        (desk.folder / "nb.ipynb").write_bytes(to_content(notebook))
        plan = desk.plan("a=1..3")
        assert plan.continues is None
        assert not plan.there

    def test_other_limits_make_a_new_sweep_that_runs_only_what_is_missing(self, desk: Desk) -> None:
        first = desk.run("a=1..3", pool=FakePool(ends={2: State.TIMED_OUT}))
        plan = desk.plan("a=1..3", timeout="3h")
        assert plan.continues is None
        assert plan.there == {first.sweep_id: 2}

    def test_a_sweep_that_is_damaged_stands_for_nothing(self, desk: Desk) -> None:
        first = desk.run("a=1..3")
        desk.store.put(layout.sweep_key(first.sweep_id, layout.POINTS), b"{}\n")
        assert not desk.plan("a=1..3").there

    def test_a_pool_that_is_at_work_is_not_started_twice(self, desk: Desk) -> None:
        sweep = desk.run("a=1..3", pool=FakePool(ends={0: State.INTERRUPTED}))
        folder = desk.store.path(layout.sweep_key(sweep.sweep_id, ""))
        assert folder is not None
        descriptor = acquire_lock(folder)
        try:
            pool = FakePool()
            begun = go_on(sweep, ENVIRON, pool)
            assert (begun.process, begun.busy, pool.started) == (None, True, [])
            assert sweep.state is State.RUNNING
            ask_sweep_to_stop(desk.store, sweep.sweep_id, "me")
            with pytest.raises(RunConflictError, match="is being stopped"):
                go_on(sweep, ENVIRON, pool)
        finally:
            os.close(descriptor)

    def test_a_sweep_that_was_stopped_goes_on(self, desk: Desk) -> None:
        sweep = desk.run("a=1..3", pool=FakePool(ends={0: State.CANCELLED}))
        ask_sweep_to_stop(desk.store, sweep.sweep_id, "me")
        assert sweep.state is State.CANCELLED
        assert desk.run("a=1..3").state is State.SUCCEEDED
        assert not asked_to_stop(desk.store, sweep.sweep_id)


class TestRetry:
    def test_failed_points_are_run_once_more(self, desk: Desk) -> None:
        sweep = desk.run("a=1..3", pool=FakePool(ends={1: State.FAILED}))
        assert sweep.retry([1]) == 1
        assert sweep.retry([1]) == 0  # it is to be run already
        assert sweep.look().states[1] is None
        pool = FakePool(ends={1: State.FAILED})
        go_on(sweep, ENVIRON, pool)
        assert pool.ran == [(1, 2)]
        assert sweep.state is State.FAILED
        assert sweep.run(1).run_id == f"{sweep.sweep_id}.1.2"

    def test_a_point_that_an_earlier_run_stands_for_is_not_run(self, desk: Desk) -> None:
        desk.run("a=1..3")
        assert desk.run("a=1..4").retry([0]) == 0


class TestTheStateOfASweep:
    @pytest.mark.parametrize(
        ("ends", "state", "code"),
        [
            ({}, State.SUCCEEDED, 0),
            ({0: State.FAILED, 1: State.TIMED_OUT}, State.FAILED, 10),
            ({1: State.TIMED_OUT}, State.TIMED_OUT, 11),
            ({0: State.FAILED, 1: State.LOST}, State.INTERRUPTED, 13),
        ],
    )
    def test_is_the_worst_of_its_points(
        self, desk: Desk, ends: Mapping[int, State], state: State, code: int
    ) -> None:
        sweep = desk.run("a=1..3", pool=FakePool(ends=ends))
        assert (sweep.state, sweep.state.exit_code) == (state, code)

    def test_is_running_while_a_run_is(self, desk: Desk) -> None:
        sweep = desk.run("a=1..3", pool=FakePool(ends={0: State.REQUESTED}))
        assert sweep.look().running == []  # its pool is gone: nobody begins it
        lock = acquire_lock(pool_directory(desk.store, sweep.sweep_id, {}))
        assert sweep.look().running == [0]
        assert sweep.state is State.RUNNING
        with pytest.raises(TimeoutError):
            sweep.wait(0)
        sweep.stop()
        assert asked_to_stop(desk.store, sweep.sweep_id)
        os.close(lock)

    def test_check_raises_for_points_that_failed(self, desk: Desk) -> None:
        assert desk.run("a=1..3").check().state is State.SUCCEEDED
        with pytest.raises(Exception, match="ended as failed"):
            desk.run("a=1..4", pool=FakePool(ends={3: State.FAILED})).check()

    def test_there_is_nothing_to_stop_when_it_has_ended(self, desk: Desk) -> None:
        with pytest.raises(RunConflictError, match="Nobody works"):
            desk.run("a=1..3").stop()


class TestTwoAtTheSameMoment:
    def test_who_asks_for_the_same_gets_the_sweep_of_the_first(self, desk: Desk) -> None:
        first, second = desk.plan("a=1..3"), desk.plan("a=1..3")
        made = create_sweep(desk.store, first)
        assert create_sweep(desk.store, second).sweep_id == made.sweep_id
        assert [entry.key for entry in desk.store.list("sweeps") if second.sweep.sweep_id in entry.key] == []

    def test_other_points_other_settings_and_force_make_another(self, desk: Desk) -> None:
        plans = [
            desk.plan("a=1..3"),
            desk.plan("a=1..4"),
            desk.plan("a=1..3", wish={"retries": 1}),
            desk.plan("a=1..3", wish={"force": True}),
        ]
        assert len({create_sweep(desk.store, plan).sweep_id for plan in plans}) == len(plans)

    def test_one_who_was_cut_off_is_not_waited_for_for_ever(self, desk: Desk) -> None:
        plan = desk.plan("a=1..3")
        claim = layout.sweep_claim_key(digest_of(plan.sweep, plan.points))
        desk.store.put(claim, b"20261123-101502-nb-7f3a")
        assert create_sweep(desk.store, plan, patience_s=0).sweep_id == plan.sweep.sweep_id
        assert desk.store.get(claim) == plan.sweep.sweep_id.encode()

    def test_a_sweep_that_is_removed_claims_nothing(self, desk: Desk) -> None:
        sweep = desk.run("a=1..3")
        assert len(list(desk.store.list(layout.SWEEP_CLAIMS))) == 1
        remove_sweep(desk.store, sweep.sweep_id)
        assert list(desk.store.list(layout.SWEEP_CLAIMS)) == []

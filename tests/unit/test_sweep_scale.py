"""The simulation of large sweeps: what grows with what, and which limit is met."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.sweep_scale import (
    INSTANCES,
    JOBS,
    LOOKING,
    RUN_PUTS,
    STARTS,
    STATUS_PUTS,
    VCPUS,
    Limits,
    Sweep,
    simulate,
)

FAST = Limits(starts_per_s=1e6, vcpus=10**9, instances=10**9)


@pytest.mark.parametrize(("points", "calls"), [(1, 1), (10_000, 1), (10_001, 2), (1_000_000, 100)])
def test_submitting_takes_a_call_for_ten_thousand_points(points: int, calls: int) -> None:
    assert simulate(Sweep(points=points), FAST).submits == calls


def test_without_limits_everything_runs_at_once() -> None:
    found = simulate(Sweep(points=10_000), FAST)
    assert (found.ended_s, found.peak_running, found.bound_by) == (61, 10_000, "nothing")


def test_a_quota_of_five_runs_five_at_a_time() -> None:
    found = simulate(Sweep(points=100), replace(FAST, vcpus=5))
    assert (found.peak_running, found.bound_by) == (5, VCPUS)
    assert found.ended_s == 1 + 100 / 5 * 60


def test_starts_have_a_rate() -> None:
    found = simulate(Sweep(points=1_000), replace(FAST, starts_per_s=20.0))
    assert (found.peak_running, found.bound_by) == (1_000, STARTS)
    assert found.ended_s == 1_000 / 20 + 60


def test_a_cluster_has_so_many_instances() -> None:
    found = simulate(Sweep(points=1_000), replace(FAST, instances=2))
    assert (found.peak_running, found.bound_by) == (32, INSTANCES)


def test_a_million_is_all_the_jobs_that_a_region_takes() -> None:
    assert JOBS in simulate(Sweep(points=1_000_000), FAST).breaks
    assert JOBS not in simulate(Sweep(points=999_999), FAST).breaks


def test_many_that_run_at_once_write_more_than_a_prefix_takes() -> None:
    breaks = simulate(Sweep(points=200_000), FAST).breaks
    assert {RUN_PUTS, STATUS_PUTS} <= breaks.keys()
    assert not {RUN_PUTS, STATUS_PUTS} & simulate(Sweep(points=500), FAST).breaks.keys()


def test_a_look_takes_one_listing_for_a_thousand_runs() -> None:
    found = simulate(Sweep(points=10_000), FAST)
    assert found.longest_look_s == pytest.approx(11 * FAST.list_s)
    assert LOOKING in simulate(Sweep(points=1_000_000), FAST).breaks


def test_results_are_read_many_at_once() -> None:
    sweep = Sweep(points=10_000)
    assert simulate(sweep, FAST).results_s == pytest.approx(11 * 0.15 + 10_000 * 0.03 / 64)
    assert simulate(replace(sweep, at_once=10**9), FAST).results_s == pytest.approx(
        11 * 0.15 + 10_000 / 5_500
    )

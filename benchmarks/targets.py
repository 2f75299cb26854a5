"""What dayfly promises about its speed, as numbers that can be checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.results import Results, Series


@dataclass(frozen=True, kw_only=True)
class Target:
    """A figure that must not be above a limit. `measure` raises KeyError where a case was left out."""

    work: str
    figure: str
    limit: float
    measure: Callable[[Results], float]
    unit: str = ""


def _time_ratio(work: str, case: str, ours: str, theirs: str, limit: float) -> Target:
    def measure(results: Results) -> float:
        return results[case, ours].median_s / results[case, theirs].median_s

    return Target(work=work, figure=f"time / {theirs}", limit=limit, measure=measure)


def _memory_ratio(work: str, case: str, figure: str, peak: Callable[[Series], float]) -> Target:
    def measure(results: Results) -> float:
        return peak(results[case, "dayfly"]) / peak(results[case, "jupyter execute"])

    return Target(work=work, figure=figure, limit=1.0, measure=measure)


def _time_per_cell_growth(results: Results) -> float:
    """Start-up is taken off, or it would hide in the larger notebook what the cells themselves cost."""
    start_up = results["tiny", "dayfly"].median_s
    per_cell_of_200 = (results["cells-200", "dayfly"].median_s - start_up) / 199
    per_cell_of_2000 = (results["cells-2000", "dayfly"].median_s - start_up) / 1999
    return per_cell_of_2000 / per_cell_of_200


def _large_output(work: str, case: str) -> tuple[Target, ...]:
    without_kernel = "peak memory without the kernel / jupyter execute"
    return (
        _time_ratio(work, case, "dayfly", "jupyter execute", 1.0),
        _memory_ratio(work, case, "peak memory / jupyter execute", lambda series: series.peak_bytes),
        _memory_ratio(work, case, without_kernel, lambda series: series.peak_without_kernel_bytes),
    )


def _slowest_over_median(results: Results) -> float:
    series = results["tail", "dayfly"]
    return series.slowest_s / series.median_s


TARGETS = (
    _time_ratio("tiny notebook", "tiny", "dayfly", "papermill", 0.75),
    _time_ratio("tiny notebook", "tiny", "dayfly", "jupyter execute", 0.85),
    _time_ratio("200 trivial cells", "cells-200", "dayfly", "papermill", 0.18),
    _time_ratio("200 trivial cells", "cells-200", "dayfly", "jupyter execute", 0.85),
    Target(
        work="2,000 trivial cells",
        figure="time of a cell / the same among 200 cells",
        limit=1.2,
        measure=_time_per_cell_growth,
    ),
    *_large_output("one cell that prints 50 MB", "print-50mb"),
    *_large_output("100 plots of 1 MB", "plots-100"),
    _time_ratio("`dayfly --help`", "commands", "dayfly --help", "papermill --help", 0.5),
    _time_ratio("`dayfly ps`, 10 runs", "commands", "dayfly ps, 10 runs", "papermill --help", 0.5),
    Target(
        work="`dayfly ps`, 10,000 runs",
        figure="time",
        limit=1.0,
        unit=" s",
        measure=lambda results: results["commands", "dayfly ps, 10,000 runs"].median_s,
    ),
    _time_ratio(
        "`dayfly ps`, 10,000 runs", "commands", "dayfly ps, 10,000 runs", "dayfly ps, 1,000 runs", 2.0
    ),
    Target(
        work="tiny notebook, 20 times",
        figure="slowest / median",
        limit=1.5,
        measure=_slowest_over_median,
    ),
)

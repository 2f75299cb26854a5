"""The results as Markdown: every command, every target, and on what they were measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.environments import Environment
from benchmarks.machine import describe_machine
from benchmarks.results import Results
from benchmarks.targets import TARGETS, Target

BEGIN = "<!-- benchmarks:begin -->"
END = "<!-- benchmarks:end -->"
_BASELINES = ("papermill", "jupyter execute")
_RESULT_HEAD = (
    *("work", "command", "runs", "median", "fastest to slowest"),
    *(f"/ {baseline}" for baseline in _BASELINES),
    *("peak memory", "without kernel"),
)


def render_report(cases: Sequence[Case], results: Results, environments: Sequence[Environment]) -> str:
    """Return the whole report."""
    parts = (
        _table(("work", "figure", "to reach", "measured", ""), _target_rows(results)),
        _table(
            _RESULT_HEAD,
            _result_rows(cases, results),
        ),
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {describe_machine()}.",
        _table(("environment", "versions"), _version_rows(environments)),
    )
    return "\n\n".join(parts) + "\n"


def replace_generated_part(path: Path, report: str) -> None:
    """Put the report between the two markers of a Markdown file; make the file where there is none."""
    text = path.read_text(encoding="utf-8") if path.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no {BEGIN} followed by {END}: put both where the tables belong.")
    path.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{after}", encoding="utf-8")


def _target_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for target in TARGETS:
        limit = f"≤ {_figure(target.limit, target)}"
        with contextlib.suppress(KeyError):  # a case that was left out
            measured = target.measure(results)
            verdict = "pass" if measured <= target.limit else "**fail**"
            yield target.work, target.figure, limit, _figure(measured, target), verdict


def _figure(value: float, target: Target) -> str:
    return f"{value:.2f}{target.unit}"


def _result_rows(cases: Sequence[Case], results: Results) -> Iterator[tuple[str, ...]]:
    for case in cases:
        for contender in case.contenders:
            series = results.get((case.name, contender.name))
            if series is None:
                continue
            yield (
                case.title,
                contender.name,
                str(len(series.samples)),
                f"{series.median_s:.2f} s",
                f"{series.fastest_s:.2f} to {series.slowest_s:.2f} s",
                *(_ratio(results, case.name, contender.name, baseline) for baseline in _BASELINES),
                _megabytes(series.peak_bytes),
                _megabytes(series.peak_without_kernel_bytes),
            )


def _ratio(results: Results, case: str, contender: str, baseline: str) -> str:
    theirs = results.get((case, baseline)) or results.get((case, f"{baseline} --help"))
    return f"{results[case, contender].median_s / theirs.median_s:.2f}" if theirs else ""


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def _version_rows(environments: Sequence[Environment]) -> Iterator[tuple[str, ...]]:
    for environment in environments:
        yield (
            environment.name,
            ", ".join(f"{name} {version}" for name, version in environment.versions.items()),
        )


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

"""`python -m benchmarks`: measure, and print the tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.environments import REQUIREMENTS, load_environment
from benchmarks.measure import Plan, measure
from benchmarks.process import CommandError, adopt_orphans
from benchmarks.report import render_report, replace_generated_part


def main() -> int:
    """Return 0 when everything was measured, whatever the figures are."""
    options = _parse_arguments()
    names = _choose(options.cases, {case.name for case in CASES}, "case")
    contender_environments = _choose(options.contenders, set(REQUIREMENTS), "contender")
    plan = Plan(
        cases=[case for case in CASES if case.name in names],
        rounds=options.rounds,
        contender_environments=contender_environments,
        everything=options.all,
    )
    environments = {
        name: load_environment(name, rebuild=options.rebuild)
        for name in REQUIREMENTS
        if name in contender_environments
    }
    adopt_orphans()
    try:
        results = measure(plan, environments)
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    report = render_report(plan.cases, results, list(environments.values()))
    print(report)
    if options.markdown is not None:
        replace_generated_part(options.markdown, report)
    return 0


def _parse_arguments() -> argparse.Namespace:
    cases = ", ".join(case.name for case in CASES)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="dayfly beside papermill and jupyter execute"
    )
    parser.add_argument("--cases", metavar="A,B", help=f"only these: {cases}")
    parser.add_argument("--contenders", metavar="A,B", help=f"only these: {', '.join(REQUIREMENTS)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each command runs (default: 5)")
    parser.add_argument(
        "--all", action="store_true", help="also what takes minutes: papermill with 2,000 cells or 100 plots"
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="build the environments anew, with today's versions"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also put the tables between the markers of FILE"
    )
    return parser.parse_args()


def _choose(asked: str | None, known: set[str], what: str) -> set[str]:
    chosen = set(asked.split(",")) if asked else known
    if chosen - known:
        sys.exit(
            f"No such {what}: {', '.join(sorted(chosen - known))}. There are: {', '.join(sorted(known))}."
        )
    return chosen


if __name__ == "__main__":
    sys.exit(main())

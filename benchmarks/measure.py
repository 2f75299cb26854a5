"""Taking the samples: the contenders of a case take turns, and every run is checked."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.contenders import Contender, Workplace
from benchmarks.environments import CACHE, Environment
from benchmarks.fake_runs import fill_store
from benchmarks.process import CommandError, Sample, run_measured
from benchmarks.results import Results, Series

_QUIET_LOAD = 0.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure."""

    cases: Sequence[Case]
    rounds: int
    contender_environments: Collection[str]
    everything: bool = False

    def contenders(self, case: Case) -> list[Contender]:
        """Return those of a case's contenders that take part."""
        return [
            contender
            for contender in case.contenders
            if contender.environment in self.contender_environments
            and (self.everything or not contender.only_with_all)
        ]


def measure(plan: Plan, environments: Mapping[str, Environment]) -> Results:
    """Measure everything. Raises CommandError at the first command that fails or loses output."""
    if os.getloadavg()[0] > _QUIET_LOAD:
        print("This machine is not quiet: the figures will be worse than they should be.", file=sys.stderr)
    taken: dict[tuple[str, str], list[Sample]] = {}
    with _stores(plan) as stores:
        for case in plan.cases:
            rounds = case.fixed_rounds or plan.rounds
            # The first round warms caches up (files, kernel's history) and is not counted.
            for number in range(rounds + 1):
                for contender in plan.contenders(case):
                    environment = environments[contender.environment]
                    sample = _take_sample(case, contender, environment, stores.get(contender.stored_runs))
                    _tell(case, contender, number, rounds, sample)
                    if number:
                        taken.setdefault((case.name, contender.name), []).append(sample)
    return {key: Series(samples=tuple(samples)) for key, samples in taken.items()}


def _take_sample(case: Case, contender: Contender, environment: Environment, store: Path | None) -> Sample:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        workplace = Workplace(folder=Path(folder))
        if case.notebook is not None:
            case.notebook.write(workplace.notebook)
        command = contender.command(environment, workplace, store or workplace.store)
        sample = run_measured(command)
        if contender.prints not in sample.printed:
            raise CommandError(f"{contender.name} did not print {contender.prints!r} but:\n{sample.printed}")
        executed = contender.find_executed(workplace)
        if case.notebook is not None and executed is not None:
            if not executed.exists():
                raise CommandError(f"{contender.name} left no executed notebook of {case.title}.")
            problem = case.notebook.find_problem(executed)
            if problem is not None:
                raise CommandError(f"{contender.name} lost output of {case.title}: {problem}.")
        return sample


@contextlib.contextmanager
def _stores(plan: Plan) -> Iterator[dict[int, Path]]:
    """Fill a store for each number of runs that a contender wants to see."""
    wanted = {contender.stored_runs for case in plan.cases for contender in plan.contenders(case)} - {0}
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stores-", dir=CACHE) as folder:
        stores = {runs: Path(folder) / str(runs) for runs in sorted(wanted)}
        for runs, path in stores.items():
            print(f"filling a store with {runs:,} runs", file=sys.stderr)
            fill_store(path, runs)
        yield stores


def _tell(case: Case, contender: Contender, number: int, rounds: int, sample: Sample) -> None:
    turn = f"{number}/{rounds}" if number else "warm-up"
    peak = f"{sample.peak.all_bytes / 1e6:.0f} MB"
    print(f"{case.name:11} {turn:>8}  {contender.name:24} {sample.wall_s:7.2f} s  {peak:>8}", file=sys.stderr)

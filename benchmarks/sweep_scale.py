"""`python -m benchmarks.sweep_scale`: a sweep of 10,000, 100,000 and 1,000,000 points against AWS's limits.

A simulation, second by second, by a clock of its own. What is simulated are dayfly's calls (how many, of what
size, how fast) and AWS's published limits; `docs/scale.md` says where each is published, and has the table.
Nothing here talks to AWS, so it proves no more than what follows from these numbers.
"""

from __future__ import annotations

import argparse
import math
from collections import deque
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What AWS publishes, per account and region; and, at the end, what it does not."""

    array_size: int = 10_000
    submits_per_s: float = 50.0
    jobs_submitted: int = 1_000_000
    vcpus: int = 5
    instances: int = 5_000
    puts_per_s: float = 3_500.0
    gets_per_s: float = 5_500.0
    list_keys: int = 1_000
    starts_per_s: float = 20.0
    """Batch publishes no rate at which it starts jobs. This is the sustained one that ECS has for Fargate."""
    request_s: float = 0.03
    list_s: float = 0.15
    """What a GET and a LIST of a thousand keys take; measured nowhere, of S3's usual order."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is asked for, and what a run does to the store (see `keeper/`)."""

    points: int
    duration_s: float = 60.0
    vcpus_each: int = 1
    vcpus_of_instance: int = 16
    point_bytes: int = 60
    puts_at_start: int = 4
    """request.json, input.ipynb, and two states."""
    puts_at_end: int = 6
    """output.ipynb, receipt.json, result.json, the last events and log, and a state."""
    status_puts: int = 3
    """Of these ten, how many are of the status object."""
    beat_s: float = 30.0
    carry_s: float = 5.0
    """A notebook that prints all the time has two chunks, of its events and its log, so often."""
    gets_at_start: int = 6
    at_once: int = 64
    """GETs of `dayfly results` that are on their way together."""


@dataclass(kw_only=True)
class Outcome:
    """What it took. Rates are the highest of any second; `breaks` names limits in the order reached."""

    submits: int = 0
    submitted_s: float = 0.0
    uploaded_bytes: int = 0
    ended_s: float = 0.0
    peak_running: int = 0
    status_puts_per_s: float = 0.0
    run_puts_per_s: float = 0.0
    looks: int = 0
    lists: int = 0
    longest_look_s: float = 0.0
    results_s: float = 0.0
    breaks: dict[str, float] = field(default_factory=dict)
    """Each limit that was reached, and at which second of the sweep."""
    bound_s: dict[str, int] = field(default_factory=dict)
    """For how many seconds each limit was what kept more points from running."""

    def reach(self, limit: str, at_s: float) -> None:
        """Note that a limit was reached, the first time."""
        self.breaks.setdefault(limit, at_s)

    @property
    def bound_by(self) -> str:
        """What kept more points from running for most of the time."""
        return max(self.bound_s, key=lambda name: self.bound_s[name]) if self.bound_s else "nothing"


VCPUS, INSTANCES, STARTS = "the vCPU quota", "instances in a cluster", "the rate of starts"
JOBS, STATUS_PUTS, RUN_PUTS = "jobs in a region", "PUTs under status/", "PUTs under runs/"
LOOKING = "a look takes longer than a minute"
_SLOW_LOOK_S = 60.0


def simulate(sweep: Sweep, limits: Limits) -> Outcome:
    """Submit the sweep, run it to its end while somebody follows it, and read its results."""
    outcome = Outcome()
    _submit(sweep, limits, outcome)
    _run(sweep, limits, outcome)
    _read_results(sweep, limits, outcome)
    return outcome


def _submit(sweep: Sweep, limits: Limits, outcome: Outcome) -> None:
    """Five uploads whatever its size, and a call for each full array."""
    outcome.submits = math.ceil(sweep.points / limits.array_size)
    outcome.uploaded_bytes = sweep.points * sweep.point_bytes
    outcome.submitted_s = 5 * limits.request_s + outcome.submits / limits.submits_per_s
    if sweep.points >= limits.jobs_submitted:
        outcome.reach(JOBS, outcome.submitted_s)


def _run(sweep: Sweep, limits: Limits, outcome: Outcome) -> None:
    slots = {
        VCPUS: limits.vcpus // sweep.vcpus_each,
        INSTANCES: limits.instances * (sweep.vcpus_of_instance // sweep.vcpus_each),
    }
    tightest = min(slots, key=lambda name: slots[name])
    starting: deque[tuple[int, float]] = deque()
    waiting, running, ended, second = float(sweep.points), 0.0, 0.0, 0
    look_at = 0.0
    while ended < sweep.points - 1e-6:
        second += 1
        finished = 0.0
        while starting and starting[0][0] <= second:
            finished += starting.popleft()[1]
        running -= finished
        ended += finished
        room = slots[tightest] - running
        begun = min(waiting, room, limits.starts_per_s)
        # Where nothing can begin, nothing changes until somebody ends.
        idle = max(starting[0][0] - second - 1, 0) if begun == 0 and starting else 0
        if waiting > begun:
            bound = tightest if begun == room else STARTS
            outcome.bound_s[bound] = outcome.bound_s.get(bound, 0) + 1 + idle
            outcome.reach(bound, second)
        if begun > 0:
            starting.append((second + math.ceil(sweep.duration_s), begun))
        waiting -= begun
        running += begun
        outcome.peak_running = max(outcome.peak_running, round(running))
        _note_puts(limits, outcome, _puts(sweep, begun, finished, running), second)
        second += idle
        while second >= look_at:
            look_at = _look(limits, outcome, sweep.points - waiting, look_at)
    outcome.ended_s = second


def _puts(sweep: Sweep, begun: float, finished: float, running: float) -> tuple[float, float]:
    """What one second writes, under status/ and under runs/."""
    share = sweep.status_puts / (sweep.puts_at_start + sweep.puts_at_end)
    puts = begun * sweep.puts_at_start + finished * sweep.puts_at_end
    return puts * share + running / sweep.beat_s, puts * (1 - share) + 2 * running / sweep.carry_s


def _note_puts(limits: Limits, outcome: Outcome, puts: tuple[float, float], second: int) -> None:
    status, runs = puts
    outcome.status_puts_per_s = max(outcome.status_puts_per_s, status)
    outcome.run_puts_per_s = max(outcome.run_puts_per_s, runs)
    for name, rate in ((STATUS_PUTS, status), (RUN_PUTS, runs)):
        if rate > limits.puts_per_s:
            outcome.reach(name, second)


def _look(limits: Limits, outcome: Outcome, known: float, second: float) -> float:
    """One listing of all runs that there are; when the next one is: a tenth of the time goes into looking."""
    lists = 1 + int(known // limits.list_keys)
    took_s = lists * limits.list_s
    outcome.looks += 1
    outcome.lists += lists
    outcome.longest_look_s = max(outcome.longest_look_s, took_s)
    if took_s > _SLOW_LOOK_S:
        outcome.reach(LOOKING, second)
    return second + took_s + max(lists + 2, 9 * took_s)


def _read_results(sweep: Sweep, limits: Limits, outcome: Outcome) -> None:
    rate = min(sweep.at_once / limits.request_s, limits.gets_per_s)
    outcome.results_s = (1 + sweep.points // limits.list_keys) * limits.list_s + sweep.points / rate


POINTS = (10_000, 100_000, 1_000_000)
QUOTAS = (5, 1_000, 100_000)
Outcomes = dict[tuple[int, int], Outcome]
"""By points, and by the vCPUs that the account may use."""
_HEAD = (
    "| points | vCPUs allowed | calls to submit | submitted in | whole sweep | bound by | run at once "
    "| PUT/s `status/` | PUT/s `runs/` | longest look | results, first time |\n"
    "|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|---:|"
)


def simulate_all(limits: Limits, sweep: Sweep) -> Outcomes:
    """Every size with every quota."""
    return {
        (points, vcpus): simulate(replace(sweep, points=points), replace(limits, vcpus=vcpus))
        for points in POINTS
        for vcpus in QUOTAS
    }


def render(outcomes: Outcomes) -> str:
    """The table of `docs/scale.md`."""
    lines = [
        f"| {points:,} | {vcpus:,} | {found.submits} | {found.submitted_s:.1f} s "
        f"| {_time(found.ended_s)} | {found.bound_by} | {found.peak_running:,} "
        f"| {found.status_puts_per_s:,.0f} | {found.run_puts_per_s:,.0f} "
        f"| {_time(found.longest_look_s)} | {_time(found.results_s)} |"
        for (points, vcpus), found in outcomes.items()
    ]
    return "\n".join([_HEAD, *lines])


def render_breaks(outcomes: Outcomes) -> str:
    """What is reached, in order, for each size."""
    lines = []
    for (points, vcpus), found in outcomes.items():
        reached = sorted(found.breaks.items(), key=lambda item: item[1])
        told = ", ".join(f"{name} (after {_time(at)})" for name, at in reached)
        lines.append(f"- {points:,} points, {vcpus:,} vCPUs: {told or 'nothing'}")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def main() -> None:
    """Print both, for the assumptions that are given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep_scale", description=__doc__)
    parser.add_argument("--duration", type=float, default=60.0, help="of a point, in seconds")
    parser.add_argument("--starts", type=float, default=20.0, help="jobs that Batch starts in a second")
    options = parser.parse_args()
    outcomes = simulate_all(Limits(starts_per_s=options.starts), Sweep(points=0, duration_s=options.duration))
    print(render(outcomes), end="\n\n")
    print(render_breaks(outcomes))


if __name__ == "__main__":
    main()

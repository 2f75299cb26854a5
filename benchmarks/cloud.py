"""`python -m benchmarks.cloud`: what a user waits for with AWS, as far as an emulated AWS can tell.

Counted are calls and seconds of dayfly's own: from `dayfly run --on ec2` to the stack's creation, following
a run, listing many. The emulator answers from this machine, so its seconds lack the way to AWS and back, and
say nothing of how long AWS takes to boot a machine. It is started here, and ended.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from dayfly.aws.client import open_aws
from dayfly.rehearsal.emulator import Emulator, start_emulator
from dayfly.runs import layout
from dayfly.runs.catalog import list_runs
from dayfly.runs.state import State
from dayfly.runs.status import encode_status
from dayfly.runs.store import Store
from tests.cloud.stacks import base_stack
from tests.cloud.submissions import CloudProject, make_project
from tests.helpers import PROGRAMS
from tests.unit.machine_runs import MachineRun, event, step

RUNS = 10_000
LOOK_S = 45.0
STEP_S = 3.0
"""Between two steps of a booting machine; most take longer."""
CARRY_S = 5.0
"""The keeper's longest pause, which it has reached after half a minute."""
IDLE_AFTER_S = 15.0
SETTLE_S = 15.0
"""Until the command has begun to follow."""
CACHE = Path(__file__).parents[1] / ".cache" / "emulator"
READS = ("Get", "Head", "List")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table; `limit` is what is to be reached."""

    work: str
    what: str
    measured: float
    limit: float | None = None
    unit: str = ""

    def cells(self) -> tuple[str, ...]:
        """The line's cells."""
        if self.limit is None:
            return self.work, self.what, "", f"{self.measured:.3g}{self.unit}", ""
        verdict = "pass" if self.measured <= self.limit else "**fail**"
        limit = f"≤ {self.limit:g}{self.unit}"
        return self.work, self.what, limit, f"{self.measured:.3g}{self.unit}", verdict


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cloud", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how many submissions (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, _project(Path(scratch)) as project:
        figures = [
            *submitting(project, options.rounds),
            *following(project),
            *listing(project),
        ]
    print("| work | figure | to reach | measured |  |\n| --- | --- | --- | --- | --- |")
    for figure in figures:
        print(f"| {' | '.join(figure.cells())} |")
    load = os.getloadavg()[0]
    print(f"\nMeasured {datetime.now(UTC):%Y-%m-%d} on {describe_machine()}, with a load of {load:.1f}.")


@contextmanager
def _project(scratch: Path) -> Iterator[CloudProject]:
    """A project whose image is there, and its base stack, in an emulated AWS of its own."""
    with start_emulator(scratch / "emulator", cache=CACHE) as emulator:
        os.environ.update(emulator.environ())
        aws = open_aws()
        yield make_project(scratch / "place", aws, base_stack(aws), emulator)


def submitting(project: CloudProject, rounds: int) -> list[Figure]:
    """From the command to CreateStack. The first submission fills the caches of prices and types."""
    calls, seconds, processor = [], [], []
    for number in range(rounds + 1):
        project.emulator.forget_requests()
        began, used = datetime.now(UTC), _processor_s()
        project.cli("run", "nb.ipynb", "--on", "ec2", "--timeout", "2h", "--detach")
        made = [f"{one['service']}:{one['operation']}" for one in project.emulator.requests()]
        if number:
            calls.append(made.index("cloudformation:CreateStack") + 1)
            seconds.append((_newest_stack() - began).total_seconds())
            processor.append(_processor_s() - used)
    work = "`dayfly run --on ec2` to CreateStack"
    return [
        Figure(work=work, what="calls", measured=max(calls), limit=12),
        Figure(work=work, what="median time", measured=statistics.median(seconds), limit=2.0, unit=" s"),
        Figure(work=work, what="slowest", measured=max(seconds), limit=2.0, unit=" s"),
        Figure(
            work="the whole command", what="processor time", measured=statistics.median(processor), unit=" s"
        ),
    ]


def _processor_s() -> float:
    """Of all processes that were started here and have ended; what else runs does not add to it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _newest_stack() -> datetime:
    stacks = open_aws().cloudformation.describe_stacks()["Stacks"]
    return max(one["CreationTime"] for one in stacks)


def following(project: CloudProject) -> list[Figure]:
    """Requests a second of `dayfly attach`: while a machine boots, while cells end, and while none does."""
    made = MachineRun(store=project.store).create(
        State.BOOTING, deadline=datetime.now(UTC) + timedelta(hours=1)
    )
    command = [str(PROGRAMS / "dayfly"), "attach", made.run_id, "--quiet"]
    attached = subprocess.Popen(command, cwd=project.root, env=dict(project.environ))
    try:
        time.sleep(SETTLE_S)
        booting = _reads_a_second(project.emulator, STEP_S, lambda n: made.tell(step("pulling", n)))
        made.tell(step("started", LOOK_S))
        made.enter(State.RUNNING)

        def end_cells(number: int) -> None:
            ended = range(int(number * CARRY_S), int((number + 1) * CARRY_S))
            made.run(*(event("cell_finished", n, cell=n, state="executed", took_s=1) for n in ended))

        time.sleep(IDLE_AFTER_S)
        running = _reads_a_second(project.emulator, CARRY_S, end_cells)
        time.sleep(IDLE_AFTER_S)
        idle = _reads_a_second(project.emulator, CARRY_S, lambda _: made.enter(State.RUNNING))
    finally:
        attached.kill()
        attached.wait()
    asked = {
        "while it boots": booting,
        "while a cell ends each second": running,
        "while nothing happens": idle,
    }
    return [
        Figure(work="following a run", what=f"requests a second, {when}", measured=figure, limit=1.0)
        for when, figure in asked.items()
    ]


def _reads_a_second(emulator: Emulator, every_s: float, happens: Callable[[int], Any]) -> float:
    """What is asked during LOOK_S while something happens every so often; what happens only writes."""
    emulator.forget_requests()
    began, number, pause = time.monotonic(), 0, threading.Event()
    while time.monotonic() - began < LOOK_S:
        happens(number)
        number += 1
        pause.wait(max(began + number * every_s - time.monotonic(), 0))
    reads = [one for one in emulator.requests(service="s3") if one["operation"].startswith(READS)]
    return len(reads) / (time.monotonic() - began)


def listing(project: CloudProject) -> list[Figure]:
    """All of 10,000 runs, and `dayfly ps`, which shows the newest."""
    _fill(project.store)
    project.emulator.forget_requests()
    began = time.perf_counter()
    found = len(list_runs(project.store))
    took = time.perf_counter() - began
    requests = len(project.emulator.requests())
    if found < RUNS:
        raise RuntimeError(f"there are {RUNS} runs, and {found} were listed")
    project.emulator.forget_requests()
    began = time.perf_counter()
    project.cli("ps")
    command, asked = time.perf_counter() - began, len(project.emulator.requests())
    work = "listing 10,000 runs"
    return [
        Figure(work=work, what="requests", measured=requests, limit=12),
        Figure(work=work, what="time", measured=took, limit=3.0, unit=" s"),
        Figure(work="`dayfly ps` of them", what="requests", measured=asked, limit=12),
        Figure(work="`dayfly ps` of them", what="time", measured=command, limit=3.0, unit=" s"),
    ]


def _fill(store: Store) -> None:
    began = datetime.now(UTC) - timedelta(minutes=RUNS)

    def put(number: int) -> None:
        run_id = f"{began + timedelta(minutes=number):%Y%m%d-%H%M%S}-many-{number:04x}"
        store.put(layout.status_key(run_id), encode_status(run_id, State.SUCCEEDED, began))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(RUNS)))


if __name__ == "__main__":
    main()

"""Kill the runner at random moments, and check that what is left is valid and what is told is true.

    python -m tests.kill_nine --times 200

Each time a notebook of thirty cells is run, and its runner gets SIGKILL at a moment drawn from the
whole time that such a run takes and a little more. Each cell bears witness of itself in a file.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dayfly.runs import layout
from dayfly.runs.lock import lock_holder
from dayfly.runs.run import Run
from dayfly.runs.state import State
from tests.helpers import (
    Place,
    cell_states,
    end_processes,
    machinery_processes,
    make_place,
    notebook_processes,
    read_valid,
    run_dir_of,
    wait_for,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode

CELLS = 30
KERNEL_GONE_WITHIN_S = 5.0
DONE = {State.SUCCEEDED, State.LOST, State.NEVER_STARTED}


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One run that was killed: when, what the library told, and what was left."""

    after_s: float
    state: str
    cells_saved: int | None
    cells_begun: int
    kernel_gone_s: float


class UntrueError(Exception):
    """What is left is not valid, or what is told is not so."""


def kill_once(place: Place, notebook: Path, after_s: float) -> Kill:
    """Start a run, kill its runner after so many seconds, and check everything that is left."""
    began = time.monotonic()
    done = place.cli("run", str(notebook), "--detach", "--quiet")
    run = place.find(done.out.strip())
    try:
        left_s = after_s - (time.monotonic() - began)
        time.sleep(max(left_s, 0))  # the moment is what is random here
        _kill_runner(run)
        gone_s = _wait_until_nothing_runs(run)
        return _check(run, after_s, gone_s)
    except UntrueError as error:
        raise UntrueError(f"{run.run_id}, killed after {after_s:.3f} s: {error}") from error
    finally:
        end_processes(run)


def _kill_runner(run: Run) -> None:
    """The runner is named by its lock, or, before it has that, by its command line."""
    holder = lock_holder(run_dir_of(run)) or {}
    for pid in {holder.get("pid"), *machinery_processes(run)}:
        if isinstance(pid, int):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _wait_until_nothing_runs(run: Run) -> float:
    began = time.monotonic()
    wait_for(
        lambda: not machinery_processes(run) and not notebook_processes(run),
        f"the end of the kernel of {run.run_id}",
        within_s=KERNEL_GONE_WITHIN_S,
    )
    gone_s = time.monotonic() - began
    # The system lets go of a dead process's lock a moment after its memory.
    with suppress(AssertionError):
        wait_for(lambda: run.state in DONE or _waits_for_a_runner(run), "the end", within_s=1)
    return gone_s


def _waits_for_a_runner(run: Run) -> bool:
    """No runner has ever taken it up: one may still come, and half a minute is given to it."""
    return run.state is State.REQUESTED and lock_holder(run_dir_of(run)) is None


def _check(run: Run, after_s: float, gone_s: float) -> Kill:
    state, result = run.state, run.result
    begun = _witnesses(run)
    notebook = _read_output(run)
    _demand(state in DONE or (_waits_for_a_runner(run) and not begun), f"it is told as {state}")
    _demand((result is not None) == (state is State.SUCCEEDED), f"told as {state}, its result is {result}")
    saved = None
    if notebook is not None:
        states = cell_states(notebook)
        saved = states.count("executed")
        _demand(len(states) == CELLS, f"the notebook has {len(states)} cells")
        _demand(set(states) <= {"executed", "running", "not_run"}, f"cell states {set(states)}")
        _demand(saved <= len(begun), f"{saved} cells are told as executed, {len(begun)} were")
        _demand(states == sorted(states, key=["executed", "running", "not_run"].index), "states in disorder")
    if state is State.SUCCEEDED:
        _demand(saved == CELLS, f"succeeded with {saved} cells saved")
        _demand(run.verify() == [], "the receipt does not match")
    told = [event["cell"] for event in run.events() if event["type"] == "cell_finished"]
    _demand(len(told) <= len(begun), f"{len(told)} cells are told as finished, {len(begun)} were")
    return Kill(
        after_s=after_s,
        state=str(state),
        cells_saved=saved,
        cells_begun=len(begun),
        kernel_gone_s=gone_s,
    )


def _witnesses(run: Run) -> list[str]:
    """The cells that were executed, by the file in which each says so."""
    file = run_dir_of(run) / layout.OUTPUTS / "witness.txt"
    return file.read_text().split() if file.exists() else []


def _read_output(run: Run) -> NotebookNode | None:
    file = run_dir_of(run) / layout.OUTPUT
    if not file.exists():
        return None
    try:
        return read_valid(file.read_bytes())
    except Exception as error:
        raise UntrueError(f"output.ipynb is not valid: {error}") from error


def _demand(true: bool, otherwise: str) -> None:
    if not true:
        raise UntrueError(otherwise)


def measure_run(place: Place, notebook: Path) -> float:
    """Seconds that such a run takes when nobody kills it."""
    began = time.monotonic()
    place.cli("run", str(notebook), "--quiet")
    return time.monotonic() - began


def kill_many(times: int, seed: int, *, at_once: int = 1) -> list[Kill]:
    """Kill so many runs, in a directory of their own; raises UntrueError at the first untruth."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="kill-nine-") as directory:
        place = make_place(Path(directory) / "place")
        notebook = place.notebook("thirty_cells")
        whole_s = measure_run(place, notebook)
        chosen = [moments.uniform(0, whole_s * 1.1) for _ in range(times)]
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda after_s: kill_once(place, notebook, after_s), chosen))


def print_table(kills: list[Kill]) -> None:
    """What happened, by the state that was told."""
    write = sys.stdout.write
    write(f"{'state':<15} {'runs':>5} {'no notebook':>12} {'cells saved':>12} {'kernel gone within':>19}\n")
    for state, count in sorted(Counter(kill.state for kill in kills).items()):
        these = [kill for kill in kills if kill.state == state]
        saved = [kill.cells_saved for kill in these if kill.cells_saved is not None]
        span = f"{min(saved)} to {max(saved)}" if saved else "-"
        gone = max(kill.kernel_gone_s for kill in these)
        write(f"{state:<15} {count:>5} {count - len(saved):>12} {span:>12} {gone:>17.2f} s\n")
    behind = [kill.cells_begun - (kill.cells_saved or 0) for kill in kills if kill.state == State.LOST]
    if behind:
        write(f"cells that were executed and not saved yet: {max(behind)} at most\n")
    write(f"{len(kills)} runs killed; every notebook valid, every state true\n")


def main() -> None:
    """Kill, print a table, and exit with 1 at the first untruth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="repeats the moments of an earlier time")
    parser.add_argument("--at-once", type=int, default=2, help="runs at the same time")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    sys.stdout.write(f"seed {seed}\n")
    try:
        print_table(kill_many(arguments.times, seed, at_once=arguments.at_once))
    except (UntrueError, AssertionError) as error:
        sys.exit(f"UNTRUE: {error}")


if __name__ == "__main__":
    main()

"""`python -m benchmarks.sweeps`: many runs of one notebook, beside `xargs -P papermill` and its like.

Two notebooks: one imports pandas and matplotlib, shows a table and draws a plot; the other computes for some
seconds of processor time. Each contender runs every point with as many at once as there are cores to use, by
turns, and must leave an executed notebook of each (`jupyter execute` as well: `--output`). dayfly records its
events, checkpoints, receipts and results besides.

The limit of the cores is how long bare Python processes take, as many as runs at once, that do nothing but
what the cells compute.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import CACHE, Environment, load_environment

_EXTRA = ("pandas", "matplotlib")
_PRELOAD = ("pandas", "matplotlib.pyplot")
_IMPORTS = "import matplotlib.pyplot as plt\nimport numpy as np\nimport pandas as pd"
_BARE = """
import sys, time

for _ in range(int(sys.argv[1])):
    end = time.process_time() + float(sys.argv[2])
    while time.process_time() < end:
        sum(range(10_000))
"""
_TABLE = """
values = np.random.default_rng(seed).normal(size=500).cumsum()
frame = pd.DataFrame({"day": range(500), "value": values})
frame.describe()
"""
_PLOT = """
frame.plot(x="day", y="value", title=f"seed {seed}")
plt.show()
"""
_COMPUTE = """
import time

end = time.process_time() + SECONDS
while time.process_time() < end:
    sum(range(10_000))
print(seed)
"""
_MAKE_SWEEP = """
import hashlib, sys
from datetime import datetime, timezone
from pathlib import Path
from dayfly.runs import ids, layout
from dayfly.runs.request import PythonEnvironment, Request
from dayfly.runs.store import open_store
from dayfly.runs.sweep import Point, SweepRequest, encode_points

url, notebook, points, jobs, *preload = sys.argv[1:]
content, now = Path(notebook).read_bytes(), datetime.now(timezone.utc)
sweep_id = ids.new_run_id(notebook, now)
lines = encode_points([Point(parameters={"seed": n}) for n in range(int(points))])
python = PythonEnvironment(executable=sys.executable, prefix=sys.prefix, source="a benchmark")
cwd = str(Path(notebook).parent)
run = Request(run_id=sweep_id, created=now, notebook=notebook, kernel="python3", python=python, cwd=cwd)
sweep = SweepRequest(
    sweep_id=sweep_id, created=now, run=run, notebook_sha256=hashlib.sha256(content).hexdigest(), base="0",
    count=int(points), points_sha256=hashlib.sha256(lines).hexdigest(), names=("seed",), jobs=int(jobs),
    preload=tuple(preload),
)
store = open_store(url)
for name, data in ((layout.INPUT, content), (layout.POINTS, lines), (layout.SWEEP, sweep.to_bytes())):
    store.put(layout.sweep_key(sweep_id, name), data)
print(sweep_id)
"""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What every contender has to do, and the folder to do it in."""

    notebook: Path
    points: int
    jobs: int
    folder: Path
    preload: tuple[str, ...] = ()
    """What the notebook imports, which dayfly is told."""


def by_papermill(sweep: Sweep, environment: Environment) -> list[Path]:
    """`xargs -P papermill IN OUT -p seed N`."""
    command = f"papermill {sweep.notebook} {sweep.folder}/{{}}.ipynb -p seed {{}}"
    return _by_xargs(command, sweep, environment)


def by_jupyter(sweep: Sweep, environment: Environment) -> list[Path]:
    """`xargs -P jupyter execute IN --output OUT`; it knows no parameters, so all points are one."""
    command = f"jupyter execute {sweep.notebook} --output {sweep.folder}/{{}}.ipynb"
    return _by_xargs(command, sweep, environment)


def _by_xargs(command: str, sweep: Sweep, environment: Environment) -> list[Path]:
    subprocess.run(
        ["xargs", "-P", str(sweep.jobs), "-I", "{}", *command.split()],
        input="\n".join(map(str, range(sweep.points))).encode(),
        cwd=sweep.folder,
        env=_environ(environment),
        check=True,
        capture_output=True,
    )
    return [sweep.folder / f"{number}.ipynb" for number in range(sweep.points)]


def by_dayfly(sweep: Sweep, environment: Environment) -> list[Path]:
    """The pool of a sweep, with the modules that the notebook imports preloaded."""
    python, store = str(environment.scripts / "python"), str(sweep.folder / "store")
    numbers = [str(sweep.points), str(sweep.jobs)]
    make = [python, "-c", _MAKE_SWEEP, store, str(sweep.notebook), *numbers, *sweep.preload]
    environ = _environ(environment)
    sweep_id = subprocess.run(make, env=environ, check=True, capture_output=True, text=True).stdout.strip()
    pool = [python, "-P", "-m", "dayfly.backends.pool_process", store, sweep_id]
    done = subprocess.run(pool, env=environ, check=True, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return sorted((sweep.folder / "store" / "runs").glob("*/output.ipynb"))


Contender = Callable[[Sweep, Environment], list[Path]]
CONTENDERS: dict[str, tuple[str, Contender]] = {
    "xargs -P papermill": ("papermill", by_papermill),
    "xargs -P jupyter execute": ("jupyter", by_jupyter),
    "dayfly": ("dayfly", by_dayfly),
}


def _environ(environment: Environment) -> dict[str, str]:
    home = CACHE / "home"
    home.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(environment.scripts), "/usr/local/bin", "/usr/bin", "/bin"])
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}


def measure(  # noqa: PLR0913, PLR0917 -- what a measurement is made of
    name: str, environment: Environment, notebook: Path, points: int, jobs: int, preload: tuple[str, ...] = ()
) -> float:
    """Return how long one contender takes, in s; every point's output must be there."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        sweep = Sweep(notebook=notebook, points=points, jobs=jobs, folder=Path(folder), preload=preload)
        began = time.perf_counter()
        executed = CONTENDERS[name][1](sweep, environment)
        took_s = time.perf_counter() - began
        assert len(executed) == points, f"{name} left {len(executed)} notebooks, not {points}"
        for path in executed:
            last = json.loads(path.read_text(encoding="utf-8"))["cells"][-1]["outputs"]
            assert last, f"{name} left a notebook without output: {path}"
        return took_s


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook with one parameter, `seed`, and these cells."""
    sources = ["seed = 0", *(cell.strip() for cell in cells)]
    kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {} if number else {"tags": ["parameters"]},
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    notebook = {"cells": content, "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook), encoding="utf-8")


def main() -> None:
    """Print a line for each contender: seconds, points a minute, and dayfly's throughput by theirs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description=__doc__)
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="default: the cores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="what each point of the second notebook computes"
    )
    parser.add_argument("--only", choices=("plot", "compute"))
    options = parser.parse_args()
    environments = {name: load_environment(name, extra=_EXTRA) for name in ("papermill", "jupyter", "dayfly")}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        notebook = Path(folder, "notebook.ipynb")
        if options.only != "compute":
            write_notebook(notebook, _IMPORTS, _TABLE, _PLOT)
            compare(notebook, environments, options)
        if options.only != "plot":
            write_notebook(notebook, _COMPUTE.replace("SECONDS", repr(options.seconds)))
            compute(notebook, environments["dayfly"], options)


def compare(notebook: Path, environments: dict[str, Environment], options: argparse.Namespace) -> None:
    """Measure all contenders by turns and print their medians."""
    taken: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for name, (environment, _) in CONTENDERS.items():  # warms caches up
        measure(name, environments[environment], notebook, options.jobs, options.jobs, _PRELOAD)
    for _ in range(options.rounds):
        for name, (environment, _) in CONTENDERS.items():
            taken[name].append(
                measure(name, environments[environment], notebook, options.points, options.jobs, _PRELOAD)
            )
    print(f"{options.points} points with pandas and a plot, {options.jobs} at once")
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        ratios = statistics.median(
            theirs / ours for theirs, ours in zip(seconds, taken["dayfly"], strict=True)
        )
        print(
            f"{name:26} {median:7.1f} s {options.points / median * 60:8.0f} a minute {ratios:6.2f} x",
            flush=True,
        )


def bare(environment: Environment, options: argparse.Namespace) -> float:
    """Return how long processes take that do only what the cells compute, in s."""
    each, left = divmod(options.points, options.jobs)
    began = time.perf_counter()
    processes = [
        subprocess.Popen(
            [environment.scripts / "python", "-c", _BARE, str(each + (n < left)), str(options.seconds)]
        )
        for n in range(options.jobs)
    ]
    for process in processes:
        assert process.wait() == 0
    return time.perf_counter() - began


def compute(notebook: Path, environment: Environment, options: argparse.Namespace) -> None:
    """Measure how near dayfly comes to the limit of the cores."""
    limit_s = bare(environment, options)
    taken = [
        measure("dayfly", environment, notebook, options.points, options.jobs) for _ in range(options.rounds)
    ]
    print(f"{options.points} points that compute for {options.seconds:g} s, {options.jobs} at once")
    print(f"{'the cores limit':26} {limit_s:7.1f} s")
    print(f"{'dayfly':26} {statistics.median(taken):7.1f} s {limit_s / statistics.median(taken):6.3f} of it")


if __name__ == "__main__":
    main()

"""A sweep on this machine: runs as single ones, from kernels that are forked, and none harms another."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from dayfly.backends.pool_children import UsualStart
from dayfly.backends.pool_loop import Pool
from dayfly.backends.pool_work import Work
from dayfly.errors import DamagedFileError
from dayfly.runs import layout
from dayfly.runs.lock import lock_holder
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.sweep import Point
from tests.helpers import NOTEBOOKS, Place, assert_nothing_runs, output_of, run_dir_of, wait_for
from tests.sweeps import make_sweep, newest_runs, pool_at_work, pool_log, run_pool

_SURROUNDINGS = """
import gc, json, logging, os, random, signal, sys, threading, warnings
mine = {"DAYFLY_RUN_ID", "DAYFLY_OUTPUTS", "JPY_PARENT_PID"}
print(json.dumps({
    "argv": [part for part in sys.argv if "connection.json" not in part],
    "path": sys.path,
    "variables": {name: value for name, value in sorted(os.environ.items()) if name not in mine},
    "own": sorted(mine & set(os.environ)),
    "cwd": os.getcwd(),
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
    "leader": os.getsid(0) == os.getpid(),
    "threads": sorted(thread.name.lstrip("Thread-0123456789") for thread in threading.enumerate()),
    "filters": sorted(str(each) for each in warnings.filters),
    "main": sys.modules["__main__"].__name__,
    "names": sorted(name for name in globals() if not name.startswith("_")),
    "shell": type(get_ipython()).__name__,
    "handlers": str(logging.getLogger().handlers),
    "streams": [type(sys.stdout).__name__, type(sys.stderr).__name__, sys.stdin.read()],
    "flags": str(sys.flags),
    "files": sorted(os.readlink(f"/proc/self/fd/{n}") for n in (0,)),
    "collects": gc.isenabled(),
    "oom": open("/proc/self/oom_score_adj").read(),
}, indent=1))
"""
_FRAME = """
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
wide = pd.DataFrame(np.arange(60).reshape(2, 30), columns=[f"c{n}" for n in range(30)])
wide
"""
_HABITS = """
import matplotlib
print(wide)
print(pd.get_option("display.max_columns"), matplotlib.get_backend(), plt.isinteractive())
print(matplotlib.rcParams["figure.dpi"], matplotlib.rcParams["backend"])
"""
_PLOT = "_ = wide.T.plot(title='a plot')"


def _write(path: Path, *cells: str) -> Path:
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(metadata=metadata)
    for number, cell in enumerate(cells):
        notebook.cells.append(nbformat.v4.new_code_cell(cell.strip(), id=f"cell-{number}"))
    nbformat.write(notebook, path)
    return path


def _content(run: Run) -> list[dict[str, Any]]:
    """What a run's notebook says, without what tells one run from another: numbers of models, addresses."""
    cells = []
    for cell in output_of(run).cells:
        text = json.dumps({name: cell.get(name) for name in ("source", "outputs", "execution_count")})
        text = re.sub(r"\b[0-9a-f]{32}\b|0x[0-9a-f]{6,}|ipykernel_\d+|/tmp/[\w/]+\d+\.py", "…", text)
        cells.append(json.loads(text))
    return cells


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("hello", {"name": "moon", "count": 3}),
        ("rich", {}),
        ("display_updates", {}),
        ("fails", {}),
        ("tags", {}),
        ("widgets", {}),
        ("exits", {}),
    ],
)
def test_a_point_has_the_outputs_of_a_single_run(place: Place, name: str, parameters: dict[str, Any]) -> None:
    alone, _ = place.run(name, *(f"-p{key}={value}" for key, value in parameters.items()), code=None)
    (point,) = run_pool(place, make_sweep(place, name, [parameters]))
    assert point.state is alone.state
    assert _content(point) == _content(alone)
    assert sorted(file.name for file in (run_dir_of(point) / layout.OUTPUTS).iterdir()) == sorted(
        file.name for file in (run_dir_of(alone) / layout.OUTPUTS).iterdir()
    )
    assert (point.receipt and point.receipt.kernel) == (alone.receipt and alone.receipt.kernel)


def test_a_forked_kernel_finds_what_one_of_its_own_finds(place: Place) -> None:
    """Directory, variables, signals, descriptors, and how pandas and matplotlib see where they are."""
    path = _write(place.root / "surroundings.ipynb", _FRAME, _SURROUNDINGS, _HABITS, _PLOT)
    done = place.cli("run", str(path))
    sweep = make_sweep(place, path, [{}], preload=("pandas", "matplotlib.pyplot"))
    (point,) = run_pool(place, sweep)
    assert not pool_log(place, sweep)
    assert _content(point) == _content(place.find(done.run_id))


_RUNNER = """
import json, os, signal
from pathlib import Path
holder = json.loads((Path(os.environ["DAYFLY_OUTPUTS"]).parent / "lock").read_text())
runner = Path("/proc", str(holder["pid"]))
if number == fails:
    raise ValueError
if number == kills:
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()  # it takes this kernel along, in a while
counts = [len(list((runner / what).iterdir())) for what in ("fd", "task")]
print(json.dumps([holder["pid"], os.getppid(), *counts]))
"""


def _ask_runners(place: Place, count: int, **moments: int) -> list[list[int]]:
    """Of each point that succeeds: its runner, its kernel's parent, and the runner's files and threads."""
    path = _write(place.root / "runner.ipynb", "number, fails, kills = 0, -1, -1", _RUNNER)
    content = nbformat.read(path, as_version=4)
    content.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(content, path)
    points = [{"number": number, **moments} for number in range(count)]
    runs = run_pool(place, make_sweep(place, path, points, jobs=1))
    done = [run for run in runs if run.state is State.SUCCEEDED]
    return [json.loads(output_of(run).cells[-1]["outputs"][0]["text"]) for run in done]


def test_a_runner_takes_run_after_run_and_keeps_nothing_of_them(place: Place) -> None:
    found = _ask_runners(place, 12)
    runners, _, files, threads = zip(*found, strict=True)
    assert len(found) == 12
    assert len(set(runners)) == 1
    for counts in (files, threads):  # a few come and go with a heartbeat; one of each run would be ten
        assert max(counts[-3:]) < counts[1] + 5


def test_a_runner_whose_run_failed_takes_no_other(place: Place) -> None:
    runners = [found[0] for found in _ask_runners(place, 5, fails=2)]
    assert runners[0] == runners[1]
    assert runners[2] == runners[3]
    assert runners[1] != runners[2]


def test_a_runner_that_starts_its_kernel_itself_takes_no_other_run(place: Place) -> None:
    """That wants a process of one thread, and a store brings others: so it is when nothing forks any more."""
    found = _ask_runners(place, 5, kills=1)
    assert len(found) == 4
    assert found[0][0] != found[0][1]
    assert [runner for runner, *_ in found[1:]] == [parent for _, parent, *_ in found[1:]]
    assert len({runner for runner, *_ in found[1:]}) == 3


def test_why_a_runner_cannot_begin_its_next_run_is_said_by_the_pool(place: Place) -> None:
    sweep = make_sweep(place, "hello", [{"name": name} for name in ("moon", "sun")], jobs=1)
    second = place.store.path(layout.run_key(f"{sweep.sweep_id}.1", layout.RUNNER_LOG))
    assert second
    second.mkdir(parents=True)
    runs = run_pool(place, sweep)
    assert [run.state for run in runs] == [State.SUCCEEDED, State.NEVER_STARTED]
    assert "IsADirectoryError" in pool_log(place, sweep)
    assert not (run_dir_of(runs[0]) / layout.RUNNER_LOG).exists()


def test_kernels_share_no_random_numbers_and_leave_files_complete(place: Place) -> None:
    cell = """
import atexit, os, random
import numpy as np
print(random.random(), np.random.random(), np.random.default_rng().random())
left = open(os.path.join(os.environ["DAYFLY_OUTPUTS"], "open.txt"), "w")
left.write("not closed")
_ = atexit.register(lambda: open(os.path.join(os.environ["DAYFLY_OUTPUTS"], "hook.txt"), "w").write("ran"))
"""
    path = _write(place.root / "random.ipynb", cell)
    runs = run_pool(place, make_sweep(place, path, [{"n": n} for n in range(4)], preload=("numpy",)))
    drawn = [text for run in runs for text in run.log().splitlines()[-1].split()]
    assert len(set(drawn)) == 12
    for run in runs:
        outputs = run_dir_of(run) / layout.OUTPUTS
        assert (outputs / "open.txt").read_text() == "not closed"
        assert (outputs / "hook.txt").read_text() == "ran"


def test_a_kernel_that_dies_takes_no_other_with_it(place: Place) -> None:
    path = _write(
        place.root / "dies.ipynb",
        "die = False",
        "import os, time\nif n == 1:\n    os.kill(os.getpid(), 9)",
        "print(n)",
    )
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    runs = run_pool(place, make_sweep(place, path, [{"n": n} for n in range(4)]))
    assert [run.state for run in runs] == [State.SUCCEEDED, State.FAILED, State.SUCCEEDED, State.SUCCEEDED]
    assert runs[1].result is not None
    assert "SIGKILL" in runs[1].result.message


def test_what_a_point_fails_by_itself_is_not_tried_again(place: Place) -> None:
    (run,) = run_pool(place, make_sweep(place, "fails", [{}], retries=3))
    assert (run.state, run.run_id.count(".")) == (State.FAILED, 1)


def test_a_kernel_of_another_language_starts_as_usual(place: Place) -> None:
    install = [sys.executable, "-m", "bash_kernel.install", "--prefix", str(place.root / "prefix")]
    subprocess.run(install, check=True, capture_output=True)
    environ = {**place.environ, "JUPYTER_PATH": str(place.root / "prefix" / "share" / "jupyter")}
    there = Place(root=place.root, environ=environ, store=place.store, directory=place.directory)
    sweep = make_sweep(there, "bash", [{"name": "moon"}], kernel="bash", preload=("pandas",))
    (run,) = run_pool(there, sweep)
    assert run.state is State.SUCCEEDED
    assert "hello moon" in run.log()
    assert "starts as usual" in pool_log(there, sweep)


@pytest.mark.parametrize("module", ["nowhere_to_be_found", "json.nothing"])
def test_a_module_that_is_not_there_costs_only_the_warmth(place: Place, module: str) -> None:
    sweep = make_sweep(place, "hello", [{"name": "moon"}], preload=(module,))
    (run,) = run_pool(place, sweep)
    assert run.state is State.SUCCEEDED
    assert module in pool_log(place, sweep)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), name='busy').start()",
            "busy",
        ),
        ("print('hello from here')", "hello from here"),
        ("from IPython import get_ipython\nget_ipython().events.register('post_run_cell', print)", "events"),
    ],
)
def test_a_module_that_must_not_be_preloaded_is_refused_by_name(place: Place, source: str, why: str) -> None:
    (place.root / "modules").mkdir()
    (place.root / "modules" / "unfit.py").write_text(source)
    environ = {**place.environ, "PYTHONPATH": str(place.root / "modules")}
    there = Place(root=place.root, environ=environ, store=place.store, directory=place.directory)
    sweep = make_sweep(there, "hello", [{"name": "moon"}], preload=("json", "unfit"))
    assert run_pool(there, sweep, code=2) == []
    assert "unfit" in pool_log(there, sweep)
    assert why in pool_log(there, sweep)


def test_a_stop_file_cancels_what_runs_and_begins_no_more(place: Place) -> None:
    sweep = make_sweep(place, "sleeps", [{"n": n} for n in range(5)], grace_s=0.1)
    with pool_at_work(place, sweep) as pool:
        wait_for(
            lambda: [run.log().count("asleep") for run in newest_runs(place, sweep)] == [1, 1], "two runs"
        )
        place.store.put(layout.sweep_key(sweep.sweep_id, layout.STOP), b"{}\n")
        assert pool.wait(20)
    assert pool.processes[0].returncode == State.CANCELLED.exit_code
    runs = newest_runs(place, sweep)
    assert [run.state for run in runs] == [State.CANCELLED] * 2
    for run in runs:
        assert_nothing_runs(run)


def test_a_pool_that_is_killed_leaves_runs_that_end_and_the_next_goes_on(place: Place) -> None:
    sweep = make_sweep(place, "waits", [{"n": n} for n in range(3)], grace_s=0.1)
    with pool_at_work(place, sweep) as pool:
        wait_for(lambda: sum("waiting" in run.log() for run in newest_runs(place, sweep)) == 2, "two runs")
        first = newest_runs(place, sweep)
        pool.processes[0].send_signal(signal.SIGKILL)
        pool.processes[0].wait()
        os.close(pool.ended)
    for run in first:
        wait_for(lambda run=run: run.state is State.INTERRUPTED, f"the end of {run.run_id}")  # type: ignore[misc]
        assert_nothing_runs(run)
    place.go()
    runs = run_pool(place, sweep)
    assert [run.state for run in runs] == [State.SUCCEEDED] * 3
    assert [run.run_id.removeprefix(sweep.sweep_id) for run in runs] == [".0.2", ".1.2", ".2"]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"run": {}, "preload": []}', b'{"run": 1, "preload": 2}'])
def test_a_request_that_is_none_is_told_and_nothing_runs(place: Place, content: bytes) -> None:
    sweep = make_sweep(place, "hello", [{}])
    path = place.store.path(layout.sweep_key(sweep.sweep_id, layout.SWEEP))
    assert path
    path.write_bytes(content)
    assert run_pool(place, sweep, code=DamagedFileError.exit_code) == []
    assert layout.SWEEP in pool_log(place, sweep)
    assert "Traceback" not in pool_log(place, sweep)


def test_of_two_pools_one_works(place: Place) -> None:
    sweep = make_sweep(place, "waits", [{"n": n} for n in range(2)])
    with pool_at_work(place, sweep) as first:
        wait_for(lambda: newest_runs(place, sweep), "a run")
        with pool_at_work(place, sweep) as second:
            assert second.wait(20)
            assert second.processes[0].returncode == 0
        assert first.processes[0].poll() is None
        place.go()
        assert first.wait(30)
    assert [run.run_id.count(".") for run in newest_runs(place, sweep)] == [1, 1]


def test_a_run_that_is_killed_is_tried_again_as_often_as_was_asked(place: Place) -> None:
    sweep = make_sweep(place, "waits", [{"n": 0}], retries=1)
    with pool_at_work(place, sweep) as pool:
        (run,) = wait_for(lambda: newest_runs(place, sweep), "a run")
        wait_for(lambda: "waiting" in run.log(), "its cell")
        holder = lock_holder(run_dir_of(run)) or {}
        place.go()
        os.kill(int(str(holder["pid"])), signal.SIGKILL)
        assert pool.wait(30), pool_log(place, sweep)
    (newest,) = newest_runs(place, sweep)
    assert (newest.state, newest.run_id) == (State.SUCCEEDED, f"{sweep.sweep_id}.0.2")
    assert_nothing_runs(run)


def test_a_nursery_that_is_killed_costs_only_the_warmth(place: Place) -> None:
    sweep = make_sweep(place, "waits", [{"n": n} for n in range(4)], retries=1, jobs=1, grace_s=0.1)
    with pool_at_work(place, sweep) as pool:
        (run,) = wait_for(lambda: newest_runs(place, sweep), "a run")
        wait_for(lambda: "waiting" in run.log(), "its cell")
        holder = lock_holder(run_dir_of(run)) or {}
        nursery = int(Path(f"/proc/{holder['pid']}/stat").read_text().rpartition(")")[2].split()[1])
        place.go()
        os.kill(nursery, signal.SIGKILL)
        assert pool.wait(60), pool_log(place, sweep)
    assert [run.state for run in newest_runs(place, sweep)] == [State.SUCCEEDED] * 4


def test_what_is_asked_for_once_more_runs_once_more(place: Place) -> None:
    sweep = make_sweep(place, "fails", [{"n": 0}, {"n": 1}])
    run_pool(place, sweep)
    again = layout.sweep_key(sweep.sweep_id, "again/001.json")
    place.store.put(again, json.dumps({"indices": [1]}).encode())
    runs = run_pool(place, sweep)
    assert [run.run_id.removeprefix(sweep.sweep_id) for run in runs] == [".0", ".1.2"]


def test_a_pool_that_is_interrupted_interrupts_its_runs_and_leaves_the_rest(place: Place) -> None:
    sweep = make_sweep(place, "sleeps", [{"n": n} for n in range(4)], grace_s=0.1)
    with pool_at_work(place, sweep) as pool:
        wait_for(
            lambda: [run.log().count("asleep") for run in newest_runs(place, sweep)] == [1, 1], "two runs"
        )
        pool.interrupt()
        assert pool.wait(20)
    assert pool.processes[0].returncode == State.INTERRUPTED.exit_code
    assert [run.state for run in newest_runs(place, sweep)] == [State.INTERRUPTED] * 2


def test_runs_that_nothing_forks_are_started_as_usual(place: Place) -> None:
    """As where the store is elsewhere, or each run is in a container."""
    sweep = make_sweep(place, "hello", [{"name": name} for name in ("moon", "sun", "sea")])
    asleep, _awake = os.pipe2(os.O_NONBLOCK)
    pool = Pool(
        store=place.store,
        work=Work(
            store=place.store,
            sweep=sweep,
            points=[Point(parameters={"name": n}) for n in ("moon", "sun", "sea")],
        ),
        content=(NOTEBOOKS / "hello.ipynb").read_bytes(),
        start=UsualStart(store=place.store, environ=place.environ),
        jobs=2,
        wake=asleep,
    )
    assert pool.run() == 0
    runs = newest_runs(place, sweep)
    assert [run.state for run in runs] == [State.SUCCEEDED] * 3
    assert "hello sea, 0" in runs[2].log()

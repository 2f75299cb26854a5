"""`dayfly sweep`, `dayfly retry`, and the commands that take a sweep, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import nbformat
import pytest
import typer
from nbformat.v4 import new_code_cell, new_notebook

from dayfly.backends.pool import pool_directory, start_pool
from dayfly.backends.sweep_creation import pool_alive
from dayfly.backends.sweep_start import Begun
from dayfly.backends.sweep_view import Sweep
from dayfly.cli.sweep import _watch
from dayfly.runs.catalog import find_sweep_ids, list_runs
from dayfly.runs.lock import lock_holder
from dayfly.runs.state import State
from dayfly.runs.sweep import Point
from tests.helpers import Place, assert_nothing_runs, wait_for
from tests.unit.runs.sweep_stores import put_point, put_sweep

pytestmark = pytest.mark.timeout(180)


def write_notebook(place: Place, *sources: str) -> Path:
    """A notebook that takes `a` and `wait`, and prints them."""
    cells = [new_code_cell("a: int = 1\nwait = ''", metadata={"tags": ["parameters"]})]
    notebook = new_notebook(cells=cells + [new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = place.root / "nb.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def notebook(place: Place) -> Path:
    """Fails for `a` 2 unless a file `mended` is there; waits for the file that `wait` names."""
    return write_notebook(
        place,
        "import os, pathlib, time\n"
        "pathlib.Path(os.environ['DAYFLY_OUTPUTS'], 'a.txt').write_text(str(a))\n"
        "print('a is', a)\n"
        "while wait and not pathlib.Path(wait).exists(): time.sleep(0.02)",
        "assert a != 2 or pathlib.Path('mended').exists(), 'not two'",
    )


def only_sweep(place: Place) -> Sweep:
    (sweep_id,) = find_sweep_ids(place.store)
    return Sweep(sweep_id, place.store)


def test_a_sweep_from_its_begin_to_its_removal(place: Place, notebook: Path) -> None:
    done = place.cli("sweep", "nb.ipynb", "-p", "a=1..3", "-p", "wait=", code=10)
    sweep = only_sweep(place)
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0] == sweep.sweep_id
    assert "[1] a=2 failed: Cell 4 raised AssertionError: not two" in lines
    assert "✗ failed · 3 points: 1 failed, 2 succeeded" in lines
    assert any(line.startswith(f"  next      dayfly retry {sweep.sweep_id} --failed ") for line in lines)
    assert [str(state) for state in sweep.states] == ["succeeded", "failed", "succeeded"]

    (line,) = place.cli("ps", "--json").json_lines()
    assert (line["run_id"], line["state"]) == (sweep.sweep_id, "failed")
    assert line["sweep"] == {"points": 3, "done": 3, "failed": 1}
    assert "3/3 done, 1 failed" in place.cli("ps").out

    shown = place.cli("show").out
    assert "1 failed, 2 succeeded" in shown
    rows = [row.split() for row in shown.splitlines() if row.startswith("[")]
    assert [row[:3] for row in rows] == [
        ["[1]", "2", "failed"],
        ["[0]", "1", "succeeded"],
        ["[2]", "3", "succeeded"],
    ]
    facts = place.cli("show", "--json", sweep.sweep_id).json()
    assert [point["parameters"] for point in facts["points"]] == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert facts["points"][1]["message"].startswith("Cell 4 raised AssertionError")

    assert f"{sweep.sweep_id}.2" in place.cli("show", "last[2]").out
    assert "a is 3" in place.cli("logs", f"{sweep.sweep_id}.2").out
    place.cli("open", "last.1", "--html", "page.html")
    assert "not two" in (place.root / "page.html").read_text()
    place.cli("fetch", "last", "got")
    assert [(place.root / f"got/{i}/outputs/a.txt").read_text() for i in range(3)] == ["1", "2", "3"]
    assert place.cli("fetch", "last", "got").err == "Everything is in got already.\n"
    assert "is a sweep, not a run" in place.cli("logs", "last", code=4).err
    assert "has no point 3" in place.cli("show", "last.3", code=3).err

    (place.root / "mended").touch()
    again = place.cli("retry", "last", "--failed")
    assert again.err.splitlines()[0] == "1 of 3 points are to be run."
    assert sweep.state is State.SUCCEEDED
    assert sweep.run(1).run_id == f"{sweep.sweep_id}.1.2"
    assert_nothing_runs(sweep.run(1))
    removed = place.cli("rm", "last.1").out.splitlines()
    assert removed == [f"{sweep.sweep_id}.1", f"{sweep.sweep_id}.1.2"]
    assert "has no run yet" in place.cli("show", "last.1", code=3).err
    place.cli("rm", "last")
    assert place.cli("ps", "--json").out == ""


def test_fetch_says_how_many_points_have_left_nothing(place: Place) -> None:
    sweep = put_sweep(place.store, [Point(parameters={"a": a}) for a in range(4)])
    for index in range(3):
        put_point(place.store, sweep, index, output={"cells": []})
    assert place.cli("fetch", sweep.sweep_id, "got").err == "1 point has left no files.\n"
    place.cli("rm", f"{sweep.sweep_id}.0")
    assert "2 points have left no files." in place.cli("fetch", sweep.sweep_id, "got").err


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_a_number_without_a_value_is_refused_by_run_and_sweep_alike(
    place: Place, notebook: Path, command: str
) -> None:
    done = place.cli(command, "nb.ipynb", "-p", "a=", "-p", "wait=1,2", code=2)
    assert "The parameter a has no value." in done.err
    assert not list_runs(place.store)


def test_the_same_points_go_on_and_more_points_reuse(place: Place, notebook: Path) -> None:
    place.cli("sweep", "nb.ipynb", "-p", "a=3,4")
    first = only_sweep(place)
    done = place.cli("sweep", "nb.ipynb", "-p", "a=3,4")
    assert f"Going on with {first.sweep_id}: 2 of 2 are there already." in done.err
    plan = place.cli("sweep", "nb.ipynb", "-p", "a=3..5", "--dry-run", "--json").json()
    assert (plan["there"], plan["to_run"]) == ({first.sweep_id: 2}, 1)
    done = place.cli("sweep", "nb.ipynb", "-p", "a=3..5,5", "--json")
    events = done.json_lines()
    assert [event["state"] for event in events if event["type"] == "point"][-1] == "succeeded"
    assert {event["index"] for event in events if event["type"] == "point"} == {2}
    assert (events[-1]["type"], events[-1]["counts"], events[-1]["reused"]) == ("sweep", {"succeeded": 3}, 2)
    assert done.err == ""
    text = place.cli("sweep", "nb.ipynb", "-p", "a=3..5,5", "--dry-run").out
    assert "points     3, without 1 equal ones" in text
    assert "goes on    with" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-p", "a=1"], "No parameter has several values"),
        (["-p", "a=1,x"], "is not of type int"),
        (["-p", "b=1,2"], "has no parameter b"),
        (["-p", "a=1..2000000"], "at most 1,000,000"),
        (["-p", "a=1,2", "--zip", "-p", "wait=x,y,z"], "--zip needs lists of one length"),
        (["-p", "a=1,2", "--on", "ec2"], "A sweep cannot run on 'ec2'"),
        (["-p", "a=1,2", "--spot"], "--spot means nothing to a run on local"),
        (["-f", "missing.csv"], "cannot be read"),
        (["-p", "a=1,2", "--jobs", "0"], "--jobs 0"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_created(
    place: Place, notebook: Path, options: list[str], said: str
) -> None:
    done = place.cli("sweep", "nb.ipynb", *options, code=2)
    assert said in done.err
    assert find_sweep_ids(place.store) == []


def begin(place: Place, *options: str) -> Sweep:
    """A sweep of four points of which one is at work, detached."""
    options = ("-p", "a=3..6", "-p", "wait=go", "--jobs", "1", "--detach", *options)
    done = place.cli("sweep", "nb.ipynb", *options)
    sweep = Sweep(done.out.strip(), place.store)
    wait_for(lambda: sweep.look().running, "the first run")
    wait_for(lambda: "a is 3" in sweep.run(0).log(), "its notebook")
    return sweep


def test_forced_points_run_again_in_a_sweep_of_their_own(place: Place, notebook: Path) -> None:
    place.cli("sweep", "nb.ipynb", "-p", "a=1,3")
    first = only_sweep(place).sweep_id
    place.cli("sweep", "nb.ipynb", "-p", "a=1,3", "--force")
    [second] = [Sweep(each, place.store) for each in find_sweep_ids(place.store) if each != first]
    assert second.state is State.SUCCEEDED
    assert second.look().reused == 0


def test_a_sweep_is_stopped_and_goes_on(place: Place, notebook: Path) -> None:
    sweep = begin(place)
    assert "1 running, 3 waiting" in place.cli("show").out
    assert "has not ended" in place.cli("rm", "last", code=4).err
    done = place.cli("stop", "last")
    assert "■ cancelled · 4 points: 1 cancelled, 3 waiting" in done.err
    assert sweep.state is State.CANCELLED
    assert_nothing_runs(sweep.run(0))
    assert "Nobody works on" in place.cli("stop", "last", code=4).err
    (place.root / "go").touch()
    done = place.cli("sweep", "nb.ipynb", "-p", "a=3..6", "-p", "wait=go", "--jobs", "1")
    assert f"Going on with {sweep.sweep_id}: 0 of 4" in done.err
    assert sweep.run(0).run_id == f"{sweep.sweep_id}.0.2"


def test_a_second_client_watches_the_pool_that_is_at_work(place: Place, notebook: Path) -> None:
    sweep = begin(place)
    options = ("-p", "a=3..6", "-p", "wait=go", "--jobs", "1")
    with place.started("sweep", "nb.ipynb", *options) as client:
        assert client.stderr is not None
        said = [client.stderr.readline().decode() for _ in range(2)]
        assert said[1] == "It is running already, as another command began it; this one watches.\n"
        (place.root / "go").touch()
        assert client.wait(60) == 0
    assert [attempt.number for attempt in sweep.look().attempts.values()] == [1, 1, 1, 1]


def test_a_client_whose_pool_gives_way_watches_the_other(place: Place, notebook: Path) -> None:
    """Two commands at one moment: neither sees a pool yet, both start one, and only one of the two works."""
    sweep = begin(place)
    ours = start_pool(place.store, sweep.sweep_id, place.environ)
    assert ours.processes[0].wait(60) == 0
    threading.Timer(0.5, (place.root / "go").touch).start()
    with pytest.raises(typer.Exit) as ended:
        _watch(Begun(sweep=sweep, process=ours), detach=False, quiet=True, as_json=False)
    assert ended.value.exit_code == 0
    assert [attempt.number for attempt in sweep.look().attempts.values()] == [1, 1, 1, 1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_client_that_is_killed_or_loses_its_terminal_leaves_the_pool_at_work(
    place: Place, notebook: Path, number: signal.Signals
) -> None:
    with place.started("sweep", "nb.ipynb", "-p", "a=3..6", "-p", "wait=go", "--jobs", "1") as client:
        wait_for(lambda: find_sweep_ids(place.store), "the sweep")
        sweep = only_sweep(place)
        wait_for(lambda: sweep.look().running, "the first run")
        wait_for(lambda: "a is 3" in sweep.run(0).log(), "its notebook")
        client.send_signal(number)
        assert client.wait(30) == -number
    assert pool_alive(place.store, sweep.sweep_id)
    (place.root / "go").touch()
    done = place.cli("attach", "last")
    assert "✓ succeeded · 4 points: 4 succeeded" in done.err
    assert [attempt.number for attempt in sweep.look().attempts.values()] == [1, 1, 1, 1]


def test_the_number_of_runs_at_once_may_be_another_each_time(place: Place, notebook: Path) -> None:
    options = ("-p", "a=1,2", "-p", "wait=mended")
    place.cli("sweep", "nb.ipynb", *options, "--jobs", "1", "--detach")
    sweep = only_sweep(place)
    place.cli("stop", "last")
    with place.started("sweep", "nb.ipynb", *options, "--jobs", "2") as client:
        wait_for(lambda: len(sweep.look().running) == 2, "both")
        (place.root / "mended").touch()
        assert client.wait(60) == 0
    assert find_sweep_ids(place.store) == [sweep.sweep_id]


def test_code_beside_the_notebook_that_has_changed_is_named(place: Place, notebook: Path) -> None:
    place.cli("sweep", "nb.ipynb", "-p", "a=3,4")
    assert "changed since" not in place.cli("sweep", "nb.ipynb", "-p", "a=3,4").err
    (place.root / "helper.py").touch()
    os.utime(place.root / "helper.py", (time.time() + 60, time.time() + 60))
    for points in ("a=3,4", "a=3..5"):
        said = place.cli("sweep", "nb.ipynb", "-p", points).err
        assert "helper.py changed since. Such files are not compared" in said


def test_ctrl_c_ends_the_sweep_and_keeps_what_is_done(place: Place, notebook: Path) -> None:
    with place.started("sweep", "nb.ipynb", "-p", "a=3..6", "-p", "wait=go", "--jobs", "1") as client:
        wait_for(lambda: find_sweep_ids(place.store), "the sweep")
        sweep = only_sweep(place)
        wait_for(lambda: sweep.look().running, "the first run")
        wait_for(lambda: "a is 3" in sweep.run(0).log(), "its notebook")
        client.send_signal(signal.SIGINT)
        _, err = client.communicate(timeout=60)
        assert client.returncode == State.INTERRUPTED.exit_code
    assert b"Interrupting the runs and saving what there is" in err
    assert b"4 points left to run" in err
    assert_nothing_runs(sweep.run(0))


def test_a_grid_from_a_file(place: Place, notebook: Path) -> None:
    (place.root / "grid.csv").write_text("a\n5\n6\n")
    done = place.cli("sweep", "nb.ipynb", "-f", "grid.csv", "--json")
    points = [event for event in done.json_lines() if event["type"] == "point"]
    assert {json.dumps(event["parameters"]) for event in points} == {'{"a": 5}', '{"a": 6}'}


def test_kernels_that_cannot_be_preloaded_are_told_of(place: Place, notebook: Path) -> None:
    (place.root / "dayfly.toml").write_text('[sweep]\npreload = ["no_such_module"]\n')
    said = place.cli("sweep", "nb.ipynb", "-p", "a=3,4").err
    assert "succeeded · 2 points" in said
    assert "warning: Every kernel starts as usual, without preloading:" in said
    assert "no_such_module" in said


def test_a_module_that_must_not_be_preloaded_is_named_also_when_quiet(place: Place, notebook: Path) -> None:
    (place.root / "dayfly.toml").write_text('[sweep]\npreload = ["this"]\n')
    said = place.cli("sweep", "nb.ipynb", "-p", "a=3,4", "--quiet", code=State.INTERRUPTED.exit_code).err
    assert "A module cannot be preloaded: this" in said


def test_a_retry_says_when_the_notebook_is_no_longer_the_same(place: Place, notebook: Path) -> None:
    place.cli("sweep", "nb.ipynb", "-p", "a=2,3", code=10)
    (place.root / "mended").touch()
    assert "has changed since" not in place.cli("retry", "last[1]", code=10).err
    write_notebook(place, "print('mended')")
    assert "nb.ipynb has changed since" in place.cli("retry", "last", "--failed").err


def test_when_the_pool_is_killed_the_sweep_is_interrupted_not_running(place: Place, notebook: Path) -> None:
    with place.started("sweep", "nb.ipynb", "-p", "a=3,4", "-p", f"wait={place.root / 'go'}") as process:
        wait_for(lambda: find_sweep_ids(place.store), "the sweep")
        sweep = only_sweep(place)
        wait_for(lambda: sweep.look().running, "a run of it")
        holder = lock_holder(pool_directory(sweep.store, sweep.sweep_id, place.environ))
        assert holder is not None
        os.kill(int(str(holder["pid"])), signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode == State.INTERRUPTED.exit_code
    assert "interrupted" in said.decode()
    wait_for(lambda: not list(Path(place.environ["TMPDIR"]).glob("dayfly-*")), "the end of its sockets")


def test_a_dry_run_says_that_there_are_fewer_runs_than_jobs(place: Place, notebook: Path) -> None:
    """Then they are not refused either, however many the machine can hold: they are never at once."""
    out = place.cli("sweep", "nb.ipynb", "-p", "a=3..5", "--jobs", "50000", "--dry-run").out
    assert "jobs       50,000, but no more than are to run\n" in out
    for more in ([], ["--dry-run"]):
        done = place.cli("sweep", "nb.ipynb", "-p", "a=1..60000", "--jobs", "60000", *more, code=2)
        assert "This machine cannot hold 60,000 runs at once." in done.err
    assert find_sweep_ids(place.store) == []


def test_the_points_of_several_files_are_run(place: Place, notebook: Path) -> None:
    (place.root / "one.csv").write_text("a\n5\n")
    (place.root / "two.csv").write_text("a\n6.0\n")
    plan = place.cli("sweep", "nb.ipynb", "-f", "one.csv", "-f", "two.csv", "--dry-run", "--json").json()
    assert [point["parameters"] for point in plan["points"]] == [{"a": 5}, {"a": 6}]


def test_what_is_wrong_in_the_first_row_is_told_with_its_place(place: Place, notebook: Path) -> None:
    (place.root / "grid.csv").write_text("a\nx\n")
    done = place.cli("sweep", "nb.ipynb", "-f", "grid.csv", code=2)
    assert "grid.csv, line 2: a='x' is not of type int." in done.err

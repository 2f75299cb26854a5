"""`dayfly run`, `dayfly rerun` and `dayfly attach`, as a user types them."""

from __future__ import annotations

import json
import signal

import nbformat

from dayfly.runs.catalog import list_runs
from dayfly.runs.state import State
from tests.helpers import (
    NOTEBOOKS,
    Place,
    assert_nothing_runs,
    cell_states,
    end_processes,
    output_of,
    text_of,
    wait_for,
)


def test_run_prints_plain_lines_where_there_is_no_terminal(place: Place) -> None:
    run, done = place.run("hello")
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0] == run.run_id
    assert lines[1].startswith("running on python 3.")
    assert lines[2].startswith("[1/4] cell 2: ")
    assert lines[5].startswith("[4/4] cell 5: ")
    assert lines[6].startswith("✓ succeeded in ")
    assert f"notebook  .dayfly/runs/{run.run_id}/output.ipynb" in done.err
    assert "outputs   1 file" in done.err
    assert lines[-1] == f"  next      dayfly open {run.run_id}"
    assert "\x1b" not in done.err


def test_run_takes_parameters_from_flags_over_files(place: Place) -> None:
    (place.root / "values.yaml").write_text("name: from the file\ncount: 1\nalpha: 2\n")
    (place.root / "more.json").write_text('{"alpha": 3, "tags": ["x"]}')
    run, _ = place.run("hello", "-f", "values.yaml", "-f", "more.json", "-p", "name=5")
    assert run.request.parameters == {"name": "5", "count": 1, "alpha": 3.0, "tags": ["x"]}
    assert "hello 5, 0\n" in text_of(output_of(run)["cells"][3])


def test_run_writes_the_executed_notebook_where_it_is_told_to(place: Place) -> None:
    run, _ = place.run("hello", "-o", "out.ipynb")
    assert (place.root / "out.ipynb").read_bytes() == run.output_bytes()


def test_run_reads_standard_input_and_writes_standard_output(place: Place) -> None:
    done = place.cli(
        "run", "-", "-o", "-", "-p", "name=pipe", "--quiet", stdin=(NOTEBOOKS / "hello.ipynb").read_bytes()
    )
    notebook = nbformat.reads(done.out, as_version=4)
    assert text_of(notebook["cells"][3]) == "hello pipe, 0\nhello pipe, 1\n"
    assert done.err == ""
    run = place.find(list_runs(place.store)[0].run_id)
    assert "-stdin-" in run.run_id
    assert "standard input" in place.show(run)


def test_run_quiet_says_nothing_but_errors(place: Place) -> None:
    run, done = place.run_quiet("hello")
    assert (done.out, done.err) == ("", "")
    assert run.state is State.SUCCEEDED
    run, done = place.run_quiet("fails", code=10)
    assert done.out == ""
    assert done.err.splitlines() == [
        f"error: {run.run_id} failed: Cell 2 raised ZeroDivisionError: division by zero",
        f"  dayfly show {run.run_id}",
    ]


def test_run_json_prints_each_event_as_a_line(place: Place) -> None:
    done = place.cli("run", str(place.notebook("fails")), "--json", code=10)
    events = done.json_lines()
    assert events[0]["type"] == "state"
    assert [event["cell"] for event in events if event["type"] == "cell_finished"] == [1, 2]
    assert (events[-1]["type"], events[-1]["reason"]) == ("ended", "cell_failed")


def test_run_shows_why_a_notebook_failed(place: Place) -> None:
    run, done = place.run("fails", code=10)
    assert "[1/3] cell 2 failed:" in done.err
    assert "✗ failed in" in done.err
    assert "│" in done.err
    assert "----> 5 divide(1, 0)" in done.err
    assert f"next      dayfly show {run.run_id}" in done.err


def test_run_detached_prints_the_id_and_returns_at_once(place: Place) -> None:
    done = place.cli("run", str(place.notebook("waits")), "--detach")
    run = place.find(done.out.strip())
    try:
        assert f"dayfly attach {run.run_id}" in done.err
        wait_for(lambda: run.state is State.RUNNING, "the run to be running")
        with place.started("attach", run.run_id) as attached:
            (place.root / "go").touch()
            _, said = attached.communicate(timeout=30)
        assert attached.returncode == 0
        assert "[3/3] cell 4:" in said.decode()
        assert "✓ succeeded" in said.decode()
    finally:
        end_processes(run)


def test_attach_to_a_run_that_has_ended_tells_its_end(place: Place) -> None:
    run, _ = place.run("fails", code=10)
    done = place.cli("attach", run.run_id, code=10)
    assert "Cell 2 raised ZeroDivisionError" in done.err
    events = place.cli("attach", run.run_id, "--json", code=10).json_lines()
    assert events[-1]["type"] == "ended"


def test_run_runs_the_notebook_where_it_lies_and_cwd_changes_that(place: Place) -> None:
    place.notebook("waits", folder="deep/down")
    (place.root / "deep/down/go").touch()
    run = place.find(place.cli("run", "deep/down/waits.ipynb").run_id)
    assert run.request.cwd == str(place.root / "deep/down")
    (place.root / "deep/down/go").rename(place.root / "go")
    other = place.find(place.cli("run", "deep/down/waits.ipynb", "--cwd", ".").run_id)
    assert other.state is State.SUCCEEDED
    assert other.request.cwd == str(place.root)


def test_run_takes_a_cell_timeout(place: Place) -> None:
    # Long enough for the cell before it, also where that waits for a processor.
    run, done = place.run("sleeps", "--cell-timeout", "4s", code=11)
    assert "Cell 2 took longer than the 4 s that a cell may take." in done.err
    assert cell_states(output_of(run)) == ["executed", "interrupted", "not_run"]


def test_run_ends_as_interrupted_when_it_is_told_to_terminate(place: Place) -> None:
    """SIGTERM, as CI sends it: the run saves what there is and the command says so."""
    notebook = str(place.notebook("sleeps"))
    with place.started("run", notebook) as process:
        (run_id,) = wait_for(lambda: [s.run_id for s in list_runs(place.store)], "the run")
        run = place.find(run_id)
        wait_for(lambda: "asleep" in run.log(), "the sleeping cell")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 13
    assert "interrupted" in said.decode()
    assert cell_states(output_of(run)) == ["executed", "interrupted", "not_run"]
    assert_nothing_runs(run)


def test_rerun_repeats_the_notebook_that_ran_not_the_file_as_it_is_now(place: Place) -> None:
    run, _ = place.run("hello", "-p", "name=Ann")
    (place.root / "hello.ipynb").write_text("changed since")
    done = place.cli("rerun", run.run_id)
    again = place.find(done.run_id)
    assert again.run_id != run.run_id
    assert again.request.rerun_of == run.run_id
    assert again.request.parameters == {"name": "Ann"}
    assert text_of(output_of(again)["cells"][3]) == text_of(output_of(run)["cells"][3])
    assert f"rerun of   {run.run_id}" in place.show(again)


def test_errors_of_usage_are_messages_and_create_nothing(place: Place) -> None:
    place.notebook("hello")
    for arguments, said in (
        (["run", "nowhere.ipynb"], "There is no notebook nowhere.ipynb."),
        (["run", "hello.ipynb", "--on", "moon"], "There is no backend 'moon'."),
        (["run", "hello.ipynb", "--timeout", "soon"], "'timeout' cannot be 'soon' (flag, --timeout)"),
        (["run", "hello.ipynb", "--cwd", "nowhere"], "There is no directory"),
        (["run", "hello.ipynb", "-o", "no/where/out.ipynb"], "There is no directory"),
        (["run", "hello.ipynb", "-f", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["run", "hello.ipynb", "--store", "ftp://x"], "Cannot use 'ftp://x' as a store."),
        (["run", "hello.ipynb", "--frobnicate"], "--frobnicate"),
        (["frobnicate"], "frobnicate"),
    ):
        done = place.cli(*arguments, code=2)
        assert said in done.err
        assert done.out == ""
    assert place.cli("ps", "--all").out == ""


def test_a_notebook_of_an_older_format_runs(place: Place) -> None:
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "old"},
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {
                        "cell_type": "code",
                        "collapsed": False,
                        "input": "print('old')",
                        "language": "python",
                        "metadata": {},
                        "outputs": [],
                    }
                ],
            }
        ],
    }
    (place.root / "old.ipynb").write_text(json.dumps(old))
    run = place.find(place.cli("run", "old.ipynb").run_id)
    assert text_of(output_of(run)["cells"][0]) == "old\n"

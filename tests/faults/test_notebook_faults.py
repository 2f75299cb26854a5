"""Faults of the notebook: what is left of its output, what still runs, what the user is told."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from dayfly.runs import layout
from dayfly.runs.run import Run
from dayfly.runs.state import State
from tests.helpers import (
    Place,
    assert_nothing_runs,
    cell_states,
    notebook_processes,
    output_of,
    text_of,
    wait_for,
)


@pytest.mark.fault(1)
def test_fault_01_a_cell_raises(place: Place) -> None:
    """The whole notebook is there; cell and traceback are told; exit code 10."""
    run, done = place.run("fails", code=10)
    notebook = output_of(run)
    assert cell_states(notebook) == ["executed", "failed", "not_run"]
    assert notebook["cells"][1]["outputs"][0]["ename"] == "ZeroDivisionError"
    assert "Cell 2 raised ZeroDivisionError: division by zero" in done.err
    shown = place.show(run)
    assert "failed" in shown
    assert "return a / b" in shown
    assert f"dayfly rerun {run.run_id}" in shown
    assert_nothing_runs(run)


@pytest.mark.fault(2)
def test_fault_02_sys_exit_in_a_cell(place: Place) -> None:
    """It ends the run at that cell, and is told as what it is."""
    run, _ = place.run("exits", code=10)
    assert cell_states(output_of(run)) == ["executed", "failed", "not_run"]
    assert "Cell 2 raised SystemExit: 3" in place.show(run)
    assert_nothing_runs(run)


@pytest.mark.fault(2)
def test_fault_02_os_exit_in_a_cell(place: Place) -> None:
    """The kernel is gone: the output up to then is kept, and the exit code of the kernel told."""
    run, _ = place.run("dies", code=10)
    notebook = output_of(run)
    assert cell_states(notebook) == ["executed", "failed", "not_run"]
    assert text_of(notebook["cells"][0]) == "before\n"
    assert "last words" in text_of(notebook["cells"][1])
    assert "[dayfly] The kernel died while this cell ran: it exited with code 3." in text_of(
        notebook["cells"][1]
    )
    assert run.result is not None
    assert run.result.reason == "kernel_died"
    assert "In cell 2: The kernel died while this cell ran: it exited with code 3." in place.show(run)
    assert_nothing_runs(run)


@pytest.mark.fault(3)
def test_fault_03_a_kernel_that_the_system_kills_is_told_with_the_likely_cause(place: Place) -> None:
    """SIGKILL is what the kernel gets when memory runs out."""
    with place.running("sleeps", says="asleep") as run:
        (kernel,) = notebook_processes(run)
        os.kill(kernel, signal.SIGKILL)
        assert run.wait(30) is State.FAILED
        assert "killed by SIGKILL. That is what happens when memory runs out." in place.show(run)
        assert cell_states(output_of(run)) == ["executed", "failed", "not_run"]
        assert_nothing_runs(run)


# The first holds for the start of the kernel, too, the second for the cell before: seconds, under load.
@pytest.mark.parametrize(("limit", "seconds"), [("--timeout", "12"), ("--cell-timeout", "4")])
@pytest.mark.fault(4)
def test_fault_04_a_cell_hangs_and_ignores_interrupts(place: Place, limit: str, seconds: str) -> None:
    """Interrupt, grace, kill: the run ends at its limit and a grace, with what there was."""
    began = time.monotonic()
    run, _ = place.run("hangs", limit, seconds, "--grace", "1s", code=11)
    assert time.monotonic() - began < 40  # the command's own start and end beside limit and grace
    notebook = output_of(run)
    assert cell_states(notebook) == ["executed", "interrupted", "not_run"]
    assert "deaf from now on" in text_of(notebook["cells"][1])
    assert "the cell went on after being interrupted" in text_of(notebook["cells"][1])
    shown = place.show(run)
    assert "timed_out" in shown
    assert f"took longer than the {seconds} s" in shown
    assert_nothing_runs(run)


@pytest.mark.fault(4)
def test_fault_04_a_cell_that_hears_the_interrupt_ends_without_being_killed(place: Place) -> None:
    run, _ = place.run("sleeps", "--cell-timeout", "4500ms", code=11)
    notebook = output_of(run)
    assert cell_states(notebook) == ["executed", "interrupted", "not_run"]
    assert notebook["cells"][1]["outputs"][-1]["ename"] == "KeyboardInterrupt"
    assert_nothing_runs(run)


@pytest.mark.fault(5)
def test_fault_05_the_kernelspec_is_missing(place: Place) -> None:
    """Nothing is created; what is installed is told; exit code 6."""
    notebook = place.notebook("no_such_kernel")
    done = place.cli("run", str(notebook), code=6)
    assert "There is no kernel 'fortran77'." in done.err
    assert "Installed: python3" in done.err
    assert "name it with --python" in done.err
    own = place.cli("run", str(notebook), "--python", sys.prefix, code=6)
    assert "Choose one with --kernel NAME" in own.err
    assert place.cli("ps").out == ""


@pytest.mark.fault(5)
def test_fault_05_the_kernelspec_is_gone_when_the_runner_looks(place: Place) -> None:
    """The runner itself finds that the kernel is missing: the run ends as failed and says so."""
    notebook = place.notebook("hello")
    kernels = place.root.parent / "jupyter" / "kernels"
    (kernels / "elusive").mkdir(parents=True)
    (kernels / "elusive" / "kernel.json").write_text(
        '{"argv": ["no-such-program", "{connection_file}"], "display_name": "Elusive", "language": "x"}'
    )
    done = place.cli(
        "run", str(notebook), "--kernel", "elusive", code=10, environ={"JUPYTER_PATH": str(kernels.parent)}
    )
    run = place.find(done.run_id)
    assert run.result is not None
    assert run.result.reason == "kernel_missing"
    assert "no-such-program" in place.show(run)
    assert_nothing_runs(run)


@pytest.mark.fault(10)
def test_fault_10_the_notebook_leaves_children_behind(place: Place) -> None:
    """The run succeeds at once; what the kernel started ends with it, save what moved to its own session."""
    run, _ = place.run("leaves_a_child")
    notebook = output_of(run)
    daemon = int(text_of(notebook["cells"][1]))
    try:
        assert cell_states(notebook) == ["executed", "executed"]
        wait_for(lambda: notebook_processes(run) == [daemon], "the end of the child that was killed")
        assert "succeeded" in place.show(run)
    finally:
        os.kill(daemon, signal.SIGKILL)
    assert_nothing_runs(run)


@pytest.mark.fault(42)
def test_fault_42_two_runs_write_to_one_outputs_folder(place: Place) -> None:
    """They take turns, are told so, and never mix."""
    (place.root / "dayfly.toml").write_text('outputs = "shared"\n')
    (place.root / "shared").mkdir()
    notebook = str(place.notebook("shares_a_folder"))

    def start(letter: str) -> Run:
        return place.find(place.cli("run", notebook, "-p", f"letter={letter}", "--detach").out.strip())

    started = [start("a")]
    wait_for(lambda: started[0].state is State.RUNNING, "the first to have its turn")
    started += [start("b"), start("c")]
    wait_for(lambda: all(_waits(run) for run in started[1:]), "the others to wait for theirs")
    (place.root / "go").touch()
    for run in started:
        assert run.wait(60) is State.SUCCEEDED
    for letter, run in zip("abc", started, strict=True):
        prefix = layout.run_key(run.run_id, f"{layout.OUTPUTS}/")
        files = {
            entry.key.removeprefix(prefix): run.store.get(entry.key)
            for entry in run.store.list(prefix.rstrip("/"))
        }
        assert set(files) == {f"{letter}-{number}.txt" for number in range(5)} | {"latest.txt"}
        assert set(files.values()) == {letter.encode()}
        assert_nothing_runs(run)


def _waits(run: Run) -> bool:
    return any("Waiting for another run" in event.get("message", "") for event in run.events())

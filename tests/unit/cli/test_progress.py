from datetime import UTC, datetime, timedelta

import pytest

from dayfly.cli.progress import Progress
from dayfly.runs.state import State

AT = "2026-11-23T10:15:02.000+00:00"
BEGAN = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)


@pytest.fixture
def progress() -> Progress:
    made = Progress()
    for event in (
        {"type": "state", "at": AT, "state": "preparing"},
        {"type": "notebook", "at": AT, "cells": 5, "executions": 3},
        {"type": "kernel", "at": AT, "language": "python", "version": "3.11", "source": "a test"},
        {"type": "state", "at": AT, "state": "running"},
        {"type": "cell_started", "at": AT, "cell": 2, "source": "x = 1"},
    ):
        made.take(event)
    return made


def test_it_knows_what_runs_now(progress: Progress) -> None:
    assert progress.state is State.RUNNING
    assert progress.kernel == "python 3.11 · a test"
    assert (progress.executions, progress.finished) == (3, 0)
    assert progress.cell is not None
    assert (progress.cell.number, progress.cell.source) == (2, "x = 1")


def test_time_counts_from_the_first_state(progress: Progress) -> None:
    assert progress.elapsed_s(BEGAN + timedelta(seconds=7)) == 7
    assert Progress().elapsed_s() == 0


def test_a_cell_that_was_executed_counts(progress: Progress) -> None:
    progress.take({"type": "cell_finished", "at": AT, "cell": 2, "state": "executed", "duration_s": 1})
    assert (progress.finished, progress.cell) == (1, None)


def test_a_cell_that_failed_does_not(progress: Progress) -> None:
    progress.take({"type": "cell_finished", "at": AT, "cell": 2, "state": "failed", "duration_s": 1})
    assert (progress.finished, progress.cell) == (0, None)


def test_the_end_and_warnings_are_kept(progress: Progress) -> None:
    progress.take({"type": "warning", "at": AT, "message": "Slow."})
    progress.take({"type": "ended", "at": AT, "state": "failed", "message": "It broke."})
    assert progress.warnings == ["Slow."]
    assert (progress.state, progress.message) == (State.FAILED, "It broke.")


def test_an_event_of_a_newer_version_is_passed_over(progress: Progress) -> None:
    progress.take({"type": "splendid", "at": AT})


def test_the_tail_is_of_the_present_cell(progress: Progress) -> None:
    progress.hear("── cell 1 of 5 ────\nold\n── cell 2 of 5 ────\none\ntwo\n".encode())
    assert progress.tail() == ["one", "two"]


def test_the_tail_is_short(progress: Progress) -> None:
    progress.hear(b"".join(b"line %d\n" % number for number in range(5000)))
    assert progress.tail() == [f"line {number}" for number in range(4995, 5000)]


def test_a_bar_drawn_with_carriage_returns_is_its_last_state(progress: Progress) -> None:
    progress.hear(b"10%\r50%\r90%")
    assert progress.tail() == ["90%"]


def test_the_tail_cannot_drive_the_terminal(progress: Progress) -> None:
    progress.hear(b"\x1b[2Jtext\x1b]0;title\x07\n")
    assert progress.tail() == ["text"]


class TestOfAMachine:
    def steps(self, *names: str) -> Progress:
        made = Progress(state=State.PROVISIONING)
        for name in names:
            made.take({"type": "machine_step", "at": AT, "step": name})
        return made

    def test_before_its_first_step_it_is_provisioning(self) -> None:
        made = self.steps()
        assert (made.state, made.steps_done, made.booting) == (State.PROVISIONING, 0, True)
        assert made.doing == "the stack is created, then the instance boots"

    @pytest.mark.parametrize(
        ("step", "state", "done", "doing"),
        [
            ("armed", State.BOOTING, 1, "opening the boot log"),
            ("store", State.BOOTING, 3, "getting Docker ready"),
            ("docker", State.BOOTING, 4, "fetching the run"),
            ("pulling", State.PULLING, 6, "pulling the image"),
            ("pulled", State.PULLING, 7, "starting the containers"),
            ("started", State.PULLING, 8, "starting the kernel"),
        ],
    )
    def test_each_step_moves_it_on(self, step: str, state: State, done: int, doing: str) -> None:
        made = self.steps(step)
        assert (made.state, made.steps_done, made.doing) == (state, done, doing)

    def test_the_runner_takes_over(self) -> None:
        made = self.steps("armed", "started")
        made.take({"type": "state", "at": AT, "state": "preparing"})
        assert (made.state, made.booting) == (State.PREPARING, False)

    def test_what_it_says_at_the_end_changes_no_state(self) -> None:
        made = self.steps("started")
        made.take({"type": "state", "at": AT, "state": "saving"})
        made.take({"type": "machine_step", "at": AT, "step": "saved"})
        made.take({"type": "machine_step", "at": AT, "step": "started"})
        assert made.state is State.SAVING

    def test_a_failed_step_is_told_with_its_line_and_command(self) -> None:
        made = self.steps("store")
        made.take(
            {
                "type": "machine_failed",
                "at": AT,
                "step": "docker",
                "line": 97,
                "command": "dnf install \x1b[2Jdocker",
                "reason": "boot_failed",
            }
        )
        assert made.doing == "boot failed at the step docker, line 97 of the boot script: dnf install docker"

    def test_its_warnings_are_kept(self) -> None:
        made = self.steps("pulling")
        made.take({"type": "machine_warning", "at": AT, "message": "The pull is tried again."})
        assert made.warnings == ["The pull is tried again."]

    @pytest.mark.parametrize("event", [{}, {"step": "dance"}, {"step": None}, {"step": "armed"}])
    def test_a_line_that_lacks_something_is_no_error(self, event: dict[str, object]) -> None:
        made = self.steps()
        for kind in ("machine_step", "machine_failed", "machine_warning"):
            made.take({"type": kind, **event})

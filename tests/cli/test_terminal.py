"""The live view in a real terminal (tmux), and what Ctrl-C does there."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dayfly.runs.catalog import list_runs
from dayfly.runs.run import Run
from dayfly.runs.state import State
from tests.helpers import (
    PROGRAMS,
    Place,
    assert_nothing_runs,
    cell_states,
    end_processes,
    notebook_processes,
    output_of,
    wait_for,
)


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """A terminal of 100 by 30 with a shell in a place."""

    place: Place
    socket: Path

    def tmux(self, *arguments: str) -> str:
        tmux = shutil.which("tmux")
        assert tmux, "tmux is missing: scripts/system-packages.sh installs it"
        done = subprocess.run(
            [tmux, "-S", str(self.socket), "-f", "/dev/null", *arguments],
            cwd=self.place.root,
            env={**self.place.environ, "PS1": "$ ", "TERM": "xterm-256color", "SHELL": "/bin/sh"},
            capture_output=True,
            check=True,
            timeout=30,
        )
        return done.stdout.decode()

    def type(self, *command: str) -> None:
        self.tmux(
            "send-keys", shlex.join([str(PROGRAMS / "dayfly"), *command]) + "; echo ended with $?", "Enter"
        )

    def press(self, key: str) -> None:
        self.tmux("send-keys", key)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def wait_for(self, *texts: str) -> str:
        """The first screen that has all of them; the next one may be a picture that is half drawn."""
        seen: list[str] = []

        def shown() -> bool:
            seen.append(self.screen())
            return all(text in seen[-1] for text in texts)

        wait_for(shown, f"{texts} on the screen")
        return seen[-1]

    def newest_run(self) -> Run:
        wait_for(lambda: list_runs(self.place.store), "a run")
        return self.place.find(list_runs(self.place.store)[0].run_id)


@pytest.fixture
def terminal(place: Place) -> Iterator[Terminal]:
    made = Terminal(place=place, socket=place.root.parent / "tmux")
    # Only what the environment of the place has reaches the shell, beside what tmux adds.
    made.tmux("new-session", "-d", "-x", "100", "-y", "30", "env PS1='$ ' sh")
    try:
        made.wait_for("$")
        yield made
    finally:
        made.tmux("kill-server")
        for summary in list_runs(place.store):
            end_processes(place.find(summary.run_id))


def test_the_live_view_shows_bar_cell_and_output_and_leaves_the_terminal_clean(terminal: Terminal) -> None:
    terminal.place.notebook("waits")
    terminal.type("run", "waits.ipynb")
    # What is printed is read after the events: a first picture may have it below the cell before.
    screen = terminal.wait_for("│ waiting for a file", "1/3 cells", "cell 3 ", "import sys", "python 3.")
    assert "━" in screen or "-" in screen
    (terminal.place.root / "go").touch()
    screen = terminal.wait_for("ended with 0")
    assert "✓ succeeded" in screen
    assert "│ waiting" not in screen
    assert "1/3 cells" not in screen
    assert terminal.tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"


def test_ctrl_c_ends_the_run_and_saves_what_there_is(terminal: Terminal) -> None:
    terminal.place.notebook("sleeps")
    terminal.type("run", "sleeps.ipynb")
    terminal.wait_for("│ asleep")
    terminal.press("C-c")
    screen = terminal.wait_for("ended with 13")
    assert "interrupted" in screen
    run = terminal.newest_run()
    assert run.state is State.INTERRUPTED
    assert cell_states(output_of(run)) == ["executed", "interrupted", "not_run"]
    assert_nothing_runs(run)


def test_ctrl_c_twice_kills_a_notebook_that_does_not_listen(terminal: Terminal) -> None:
    terminal.place.notebook("hangs")
    terminal.type("run", "hangs.ipynb", "--grace", "10m")
    terminal.wait_for("│ deaf from now on")
    terminal.press("C-c")
    terminal.wait_for("Ctrl-C again to kill it")
    assert notebook_processes(terminal.newest_run())
    terminal.press("C-c")
    terminal.wait_for("ended with 13")
    run = terminal.newest_run()
    assert cell_states(output_of(run)) == ["executed", "interrupted", "not_run"]
    assert_nothing_runs(run)


def test_ctrl_c_while_attached_leaves_the_run_alone_and_says_how_to_come_back(terminal: Terminal) -> None:
    with terminal.place.running("waits", says="waiting for a file") as run:
        terminal.type("attach")
        terminal.wait_for("│ waiting for a file")
        terminal.press("C-c")
        screen = terminal.wait_for("ended with 0")
        assert f"dayfly attach {run.run_id}" in screen
        assert f"dayfly stop {run.run_id}" in screen
        assert run.state is State.RUNNING


def test_what_a_notebook_prints_cannot_drive_the_terminal(terminal: Terminal) -> None:
    r"""Escape sequences in output, errors and file names are taken out before they are shown."""
    terminal.place.notebook("drives_the_terminal")
    terminal.type("run", "drives_the_terminal.ipynb")
    screen = terminal.wait_for("ended with 10")
    assert "HACKED" not in terminal.tmux("display-message", "-p", "#{pane_title}")
    assert "red and blue" in screen
    terminal.type("logs")
    terminal.wait_for("ended with 0")
    terminal.tmux("send-keys", "clear", "Enter")
    wait_for(lambda: "ended with" not in terminal.screen(), "an empty screen")
    terminal.type("show")
    terminal.wait_for("ended with 0")
    assert "HACKED" not in terminal.tmux("display-message", "-p", "#{pane_title}")

"""Showing a run while it goes on: live on a terminal, as plain lines, as JSON, or not at all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from dayfly.cli.live import LivePicture
from dayfly.cli.progress import STEPS, Progress
from dayfly.cli.text import format_duration, is_terminal, safe_text, to_stderr
from dayfly.runs.follow import MACHINE_FAILED, MACHINE_STEP, MACHINE_WARNING, Event
from dayfly.runs.state import CellState, State

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from dayfly.runs.run import Run


class View(Protocol):
    """Takes events as they come; `refresh` is called several times a second."""

    def event(self, event: Event, progress: Progress) -> None:
        """One event has come, and `progress` knows it already."""

    def refresh(self, progress: Progress) -> None:
        """Time has passed, and perhaps the notebook has printed something."""

    def notice(self, text: str) -> None:
        """Tell the person something about this command."""


class QuietView:
    """Shows nothing."""

    def event(self, event: Event, progress: Progress) -> None:
        """Not shown."""

    def refresh(self, progress: Progress) -> None:
        """Not shown."""

    def notice(self, text: str) -> None:
        """Shown all the same: it answers a key."""
        to_stderr(text)


class JsonView(QuietView):
    """Each event as a line of JSON on stdout."""

    def event(self, event: Event, progress: Progress) -> None:  # noqa: ARG002 -- the View's signature
        """Print it."""
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        sys.stdout.flush()


class PlainView(QuietView):
    """A line for each thing that happens, for terminals and logs without a cursor."""

    def event(self, event: Event, progress: Progress) -> None:
        """Print what a reader of a CI log wants to know."""
        kind = event["type"]
        if kind == "kernel":
            to_stderr(f"running on {progress.kernel}")
        elif kind == "cell_finished":
            total = str(progress.executions)
            done = str(progress.finished).rjust(len(total))
            mark = "" if event["state"] == CellState.EXECUTED else f" {event['state']}"
            took = format_duration(event["duration_s"])
            to_stderr(f"[{done}/{total}] cell {event['cell']}{mark}: {took}")
        elif kind in {"warning", MACHINE_WARNING}:
            to_stderr(f"warning: {safe_text(str(event.get('message', '')))}")
        elif kind == MACHINE_STEP:
            took = f" ({format_duration(event['took_s'])})" if event.get("took_s") else ""
            to_stderr(safe_text(f"machine: {event.get('step')}{took}"))
        elif kind == MACHINE_FAILED:
            to_stderr(f"machine: {progress.failed_step}")


class LiveView(LivePicture, QuietView):
    """A bar over the cells, what runs now, for how long, and the last lines of its output."""

    def refresh(self, progress: Progress) -> None:
        """Draw it again."""
        self._show(self._draw(progress))

    def _draw(self, progress: Progress) -> Group:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bar = Table.grid(padding=(0, 2), expand=False)
        total, done, of = progress.executions, progress.finished, "cells"
        if progress.booting:
            total, done, of = len(STEPS), progress.steps_done, "steps to the first cell"
        bar.add_row(
            ProgressBar(total=max(total, 1), completed=done, width=36),
            Text(f"{done}/{total or '?'} {of}"),
            Text(format_duration(progress.elapsed_s()), style="cyan"),
        )
        head = self._head(progress.kernel)
        return self._below_each_other(head, bar, self._now(progress), *self._output(progress))

    def _now(self, progress: Progress) -> Text:
        from rich.text import Text

        line = Text(overflow="ellipsis", no_wrap=True)
        if progress.booting:
            line.append(str(progress.state), style="bold")
            if progress.step_at is not None:
                since = Progress(began=progress.step_at).elapsed_s()
                line.append(f"  {format_duration(since)}", style="cyan")
            return line.append(f"  {progress.doing}", style="red" if progress.failed_step else "dim")
        if progress.cell is None:
            return line.append(_WAITING.get(progress.state, ""), style="dim")
        since = Progress(began=progress.cell.started).elapsed_s()
        line.append(f"cell {progress.cell.number}", style="bold")
        line.append(f"  {format_duration(since)}  ", style="cyan")
        return line.append(safe_text(progress.cell.source), style="dim")

    def _output(self, progress: Progress) -> Iterator[Text]:
        from rich.text import Text

        for shown in progress.tail():
            yield Text("│ " + shown.expandtabs(4), style="dim", overflow="ellipsis", no_wrap=True)


_WAITING = {
    State.REQUESTED: "starting the runner",
    State.PREPARING: "starting the kernel",
    State.RUNNING: "between cells",
    State.SAVING: "saving",
}


@contextmanager
def choose_view(run: Run, *, quiet: bool, as_json: bool) -> Iterator[View]:
    """The view that suits where the output goes."""
    if quiet:
        yield QuietView()
    elif as_json:
        yield JsonView()
    elif is_terminal() and os.environ.get("TERM") != "dumb":  # which cannot be drawn on again
        view = LiveView(run.run_id)
        try:
            yield view
        finally:
            view.close()
    else:
        to_stderr(run.run_id)
        yield PlainView()

"""Showing a sweep while it goes on: live on a terminal, as plain lines, as JSON, or not at all."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dayfly.backends.sweep_creation import pool_began
from dayfly.backends.sweep_view import Sweep
from dayfly.cli.live import LivePicture
from dayfly.cli.progress import Progress
from dayfly.cli.sweep_text import count_states, describe_parameters, describe_point, describe_points
from dayfly.cli.sweep_watch import Picture, SweepView, events_of
from dayfly.cli.text import COLOURS, format_duration, is_terminal, safe_text, to_stderr
from dayfly.runs.state import State

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

_EVERY_S = 5.0
"""A line of progress so often, where there is no cursor."""
_FAILURES = 5
_BAR = 36
_GAP = 2
_NAME = 48
"""So wide the parameters of a point may be."""


class QuietSweepView:
    """Shows nothing."""

    def changed(self, index: int, state: State | None, picture: Picture) -> None:
        """Not shown."""

    def refresh(self, picture: Picture) -> None:
        """Not shown."""

    def notice(self, text: str) -> None:
        """Shown all the same: it answers a key."""
        to_stderr(text)


class JsonSweepView(QuietSweepView):
    """Each change of a point as a line of JSON on stdout."""

    def changed(self, index: int, state: State | None, picture: Picture) -> None:
        """Print it."""
        for event in events_of(index, state, picture):
            sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        sys.stdout.flush()


class PlainSweepView(QuietSweepView):
    """A line for each failure, and now and then one for the whole."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def changed(self, index: int, state: State | None, picture: Picture) -> None:
        """Print what a reader of a CI log wants to know."""
        if index in picture.failures:
            word = str(state).replace("_", " ")
            message = picture.failures[index].splitlines() or [""]
            to_stderr(f"{describe_point(picture.overview, index)} {word}: {safe_text(message[0])}")

    def refresh(self, picture: Picture) -> None:
        """Print how far it is, not too often."""
        if time.monotonic() - self._told < _EVERY_S:
            return
        self._told = time.monotonic()
        overview = picture.overview
        counts = ", ".join(f"{number} {word}" for word, number, _ in count_states(overview))
        left = f", {format_duration(picture.left_s)} left" if picture.left_s else ""
        to_stderr(f"[{overview.done}/{len(overview.points)}] {counts}{left}")


class LiveSweepView(LivePicture, QuietSweepView):
    """A bar over the points, the last failures, and a line for each run that goes on now."""

    def __init__(self, title: str, began: datetime | None = None) -> None:
        """`began` is when the work began that is watched; None: now."""
        super().__init__(title)
        self._before_s = (datetime.now(UTC) - began).total_seconds() if began is not None else 0.0

    def refresh(self, picture: Picture) -> None:
        """Draw it again."""
        self._show(self.draw(picture, self._height() - _FAILURES - 6, self._width()))

    def draw(self, picture: Picture, room: int, width: int) -> Group:
        """The picture, with so many lines for runs that go on, on a terminal of that width."""
        head = self._head(describe_points(len(picture.overview.points)))
        return self._below_each_other(
            head,
            _bar(picture, max(self._before_s, 0.0)),
            _counts(picture),
            *_failures(picture),
            *running_points(picture, room, width),
        )


def _bar(picture: Picture, before_s: float) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    overview = picture.overview
    total = len(overview.points)
    line = Text(f"{overview.done:,}/{total:,}")
    passed_s = before_s + time.monotonic() - picture.began
    line.append(f"  {format_duration(passed_s)}", style="cyan")
    if (rate := picture.per_s) > 0:
        line.append(f"  {rate:.1f}/s" if rate >= 1 else f"  {rate * 60:.1f}/min", style="dim")
    if picture.left_s:
        line.append(f"  {format_duration(picture.left_s)} left", style="dim")
    bar = Table.grid(padding=(0, 2), expand=False)
    bar.add_row(ProgressBar(total=max(total, 1), completed=overview.done, width=_BAR), line)
    return bar


def _counts(picture: Picture) -> Text:
    from rich.text import Text

    line = Text(overflow="ellipsis", no_wrap=True)
    for word, number, state in count_states(picture.overview):
        line.append("  " if line else "")
        style = "dim" if state is None else COLOURS.get(state, "cyan")
        line.append(f"{number:,} {word}", style=style)
    if picture.overview.reused:
        line.append(f"  ({picture.overview.reused:,} of them there already)", style="dim")
    return line


def _failures(picture: Picture) -> Iterator[Text]:
    """The last ones; one line each."""
    from rich.text import Text

    for index, message in list(picture.failures.items())[-_FAILURES:]:
        line = Text(overflow="ellipsis", no_wrap=True)
        line.append(f"✗ {describe_point(picture.overview, index)}", style="red")
        line.append(f"  {safe_text((message.splitlines() or [''])[0])}", style="dim")
        yield line
    if len(picture.failures) > _FAILURES:
        yield Text(f"  and {len(picture.failures) - _FAILURES} more", style="dim")


def running_points(picture: Picture, room: int, width: int) -> Iterator[Table | Text]:
    """A line for each run that goes on, as many as there is room for; `width` is that of the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, _GAP))
    shown = list(picture.running.items())[: max(room, 1)]
    number = len(str(len(picture.overview.points) - 1)) + 2
    points = picture.overview.points
    names = [describe_parameters(points[index].parameters) for index, _ in shown]
    cells = [_cells(progress) for _, progress in shown]
    room_for_cells = max(map(len, cells), default=0)
    longest = number + 1 + max(map(len, names), default=0)
    room_for_names = min(_NAME, longest, max(width - room_for_cells - 2 * _GAP - 1, number + 1))
    # What the cell's source says gives way to which point it is, and to how far that is.
    rest = max(width - room_for_names - room_for_cells - 2 * _GAP, 1)
    for least, most in ((room_for_names,) * 2, (room_for_cells,) * 2, (0, rest)):
        table.add_column(no_wrap=True, overflow="ellipsis", min_width=least, max_width=most)
    for (index, progress), cell in zip(shown, cells, strict=True):
        name = Text(f"{f'[{index}]':>{number}} ", style="bold")
        name.append(describe_parameters(picture.overview.points[index].parameters), style="default not bold")
        table.add_row(name, cell, _doing(progress))
    if shown:
        yield table
    more = len(picture.overview.running) - len(shown)
    if more > 0:
        yield Text(f"{'':>{number}} and {more} more", style="dim")
    if not picture.overview.running and picture.overview.open:
        yield Text("starting", style="dim")


def _cells(progress: Progress) -> Text:
    from rich.text import Text

    if not progress.executions:
        return Text(_STARTING.get(progress.state, str(progress.state)), style="dim")
    done = min(progress.finished + (progress.cell is not None), progress.executions)
    return Text(f"cell {done} of {progress.executions}")


def _doing(progress: Progress) -> Text:
    from rich.text import Text

    line = Text(overflow="ellipsis", no_wrap=True)
    if progress.cell is not None:
        since_s = (datetime.now(UTC) - progress.cell.started).total_seconds()
        line.append(f"{format_duration(max(since_s, 0.0))}  ", style="cyan")
        line.append(safe_text(progress.cell.source), style="dim")
    return line


_STARTING = {
    State.REQUESTED: "starting",
    State.PREPARING: "starting the kernel",
    State.RUNNING: "running",
    State.SAVING: "saving",
}


@contextmanager
def choose_sweep_view(sweep: Sweep, *, quiet: bool, as_json: bool) -> Iterator[SweepView]:
    """The view that suits where the output goes."""
    if quiet:
        yield QuietSweepView()
    elif as_json:
        yield JsonSweepView()
    elif is_terminal() and os.environ.get("TERM") != "dumb":
        view = LiveSweepView(sweep.sweep_id, pool_began(sweep.store, sweep.sweep_id))
        try:
            yield view
        finally:
            view.close()
    else:
        to_stderr(sweep.sweep_id)
        to_stderr(describe_points(sweep.request.count))
        yield PlainSweepView()

"""Following a stack: live on a terminal, a line for each event elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dayfly.cli.text import format_duration, is_terminal, safe_text, to_stderr
from dayfly.runner.clock import steady_s

if TYPE_CHECKING:
    from rich.console import Group

    from dayfly.aws.stacks import StackEvent

_SHOWN = 8


class StackView:
    """What CloudFormation works on, for how long, and what waits for it."""

    def __init__(self, dependencies: Mapping[str, set[str]]) -> None:
        self._dependencies = dependencies
        self._began = steady_s()
        self._since: dict[str, float] = {}
        self._status: dict[str, str] = {}
        self._said = ""

    def event(self, event: StackEvent) -> None:
        """One thing has happened."""
        if event.of_stack:
            self._said = event.status
            return
        if event.status.endswith("_IN_PROGRESS"):
            self._since.setdefault(event.logical_id, steady_s())
        else:
            self._since.pop(event.logical_id, None)
        self._status[event.logical_id] = event.status

    def draw(self) -> Group:
        """As it stands now."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        done = sum(not status.endswith("_IN_PROGRESS") for status in self._status.values())
        total = max(len(self._dependencies), len(self._status), 1)
        head = Table.grid(padding=(0, 2), expand=False)
        head.add_row(
            ProgressBar(total=total, completed=done, width=28),
            Text(f"{done}/{total}"),
            Text(format_duration(steady_s() - self._began), style="cyan"),
            Text(self._said, style="dim"),
        )
        lines = [Text(line, overflow="ellipsis", no_wrap=True) for line in self._lines()]
        return Group(head, *lines[:_SHOWN])

    def _lines(self) -> Iterator[str]:
        for name, since in self._since.items():
            waiting = [other for other, needs in self._dependencies.items() if name in needs - {other}]
            waiting = [other for other in waiting if other not in self._status]
            line = f"  {name}  {format_duration(steady_s() - since)}"
            yield line + (f"  ({', '.join(waiting)} waits for it)" if waiting else "")


@contextmanager
def follow_stack(dependencies: Mapping[str, set[str]]) -> Iterator[Callable[[StackEvent], None]]:
    """The function that events are told to; a failure is always told in a line of its own."""
    if not (is_terminal() and os.environ.get("TERM") != "dumb"):
        yield _print_event
        return
    from rich.console import Console
    from rich.live import Live

    view = StackView(dependencies)
    console = Console(stderr=True, highlight=False)
    live = Live(console=console, transient=True, refresh_per_second=4, get_renderable=view.draw)

    def event(event: StackEvent) -> None:
        if not live.is_started:  # questions come before the first event
            live.start()
        if event.failed:
            console.print(safe_text(_line(event)), style="red", markup=False)
        view.event(event)

    try:
        yield event
    finally:
        live.stop()


def _print_event(event: StackEvent) -> None:
    to_stderr(safe_text(_line(event)))


def _line(event: StackEvent) -> str:
    reason = f": {event.reason}" if event.reason and event.failed else ""
    return f"{event.at.astimezone():%H:%M:%S} {event.logical_id} {event.status}{reason}"

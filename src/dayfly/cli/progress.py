"""What is known of a run while it goes on, gathered from its events and its log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from dayfly.cli.text import safe_text
from dayfly.runs.follow import Event
from dayfly.runs.state import CellState, State

_TAIL_LINES = 5
TAIL_BYTES = 16_000
"""How much of the log is looked at for the last lines."""


@dataclass(kw_only=True)
class RunningCell:
    """The cell that runs now."""

    number: int
    source: str
    started: datetime


@dataclass(kw_only=True)
class Progress:
    """A run as far as it is known."""

    state: State = State.REQUESTED
    executions: int = 0
    """How many cells are to be executed; 0 while that is not known."""
    finished: int = 0
    kernel: str = ""
    began: datetime | None = None
    cell: RunningCell | None = None
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    _tail: str = ""

    def take(self, event: Event) -> None:
        """Learn from one event."""
        kind = event["type"]
        if kind == "state":
            self.state = State(event["state"])
            self.began = self.began or _time_of(event)
        elif kind == "notebook":
            self.executions = event["executions"]
        elif kind == "kernel":
            version = f" {event['version']}" if event.get("version") else ""
            self.kernel = f"{event['language']}{version} · {event['source']}"
        elif kind == "cell_started":
            self.cell = RunningCell(number=event["cell"], source=event["source"], started=_time_of(event))
        elif kind == "cell_finished":
            self.finished += event["state"] == CellState.EXECUTED
            self.cell = None
        elif kind == "warning":
            self.warnings.append(event["message"])
        elif kind == "ended":
            self.state = State(event["state"])
            self.message = event["message"]

    def hear(self, log: bytes) -> None:
        """Learn from what the notebook printed."""
        if log:
            self._tail = (self._tail + log[-TAIL_BYTES:].decode("utf-8", "replace"))[-TAIL_BYTES:]

    def tail(self) -> list[str]:
        """The last lines of output of the present cell, as a terminal would show them."""
        text = self._tail.rpartition("── cell ")[2]
        _, _, text = text.partition("\n") if "── cell " in self._tail else ("", "", self._tail)
        lines = [safe_text(line).split("\r")[-1] for line in text.replace("\r\n", "\n").split("\n")]
        return [line for line in lines if line.strip()][-_TAIL_LINES:]

    def elapsed_s(self, now: datetime | None = None) -> float:
        """Seconds since the runner took up the run."""
        return ((now or datetime.now(UTC)) - self.began).total_seconds() if self.began else 0.0


def _time_of(event: Event) -> datetime:
    return datetime.fromisoformat(event["at"])

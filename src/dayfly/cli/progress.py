"""What is known of a run while it goes on, gathered from its events and its log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from dayfly.cli.text import safe_text
from dayfly.runs.follow import MACHINE_FAILED, MACHINE_STEP, MACHINE_WARNING, Event
from dayfly.runs.state import CellState, State

_TAIL_LINES = 5
TAIL_BYTES = 16_000
"""How much of the log is looked at for the last lines."""


STEPS = ("armed", "logged", "store", "docker", "fetched", "pulling", "pulled", "started")
"""What a machine does until the runner speaks, each told when it is done (`pulling`: begun)."""
_DOING = {
    "": "the stack is created, then the instance boots",
    "armed": "opening the boot log",
    "logged": "proving that the store can be written",
    "store": "getting Docker ready",
    "docker": "fetching the run",
    "fetched": "getting ready to pull the image",
    "pulling": "pulling the image",
    "pulled": "starting the containers",
    "started": "starting the kernel",
}
"""What a machine does after each of its steps."""


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
    step: str = ""
    """The last step that the run's machine has told of."""
    step_at: datetime | None = None
    failed_step: str = ""
    """Where the machine's boot failed, and how, in words."""
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
        elif kind in {MACHINE_STEP, MACHINE_FAILED, MACHINE_WARNING}:
            self._take_from_machine(kind, event)

    def _take_from_machine(self, kind: str, event: Event) -> None:
        """Learn from what the machine tells; fields that it left out say nothing."""
        if kind == MACHINE_WARNING:
            self.warnings.append(str(event.get("message", "")))
        elif kind == MACHINE_FAILED:
            self.failed_step = describe_failure(event)
        elif event.get("step") in STEPS:
            self.step, self.step_at = event["step"], _time_of(event) if "at" in event else None
            if self.booting:
                self.state = State.PULLING if self.step in {"pulling", "pulled", "started"} else State.BOOTING

    @property
    def booting(self) -> bool:
        """Whether the run's machine is on its way, and no runner speaks yet."""
        return self.state in {State.PROVISIONING, State.BOOTING, State.PULLING}

    @property
    def steps_done(self) -> int:
        """How many of the machine's steps are behind it."""
        return STEPS.index(self.step) + 1 if self.step else 0

    @property
    def doing(self) -> str:
        """What the machine does now, in words."""
        return self.failed_step or _DOING[self.step]

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


def describe_failure(event: Event) -> str:
    """The failed step of a machine's boot: which, why, on which line, and the command."""
    reason = str(event.get("reason", "boot_failed")).replace("_", " ")
    line = f", line {event['line']} of the boot script" if event.get("line") else ""
    command = f": {event['command']}" if event.get("command") else ""
    return safe_text(f"{reason} at the step {event.get('step') or '?'}{line}{command}")


def _time_of(event: Event) -> datetime:
    return datetime.fromisoformat(event["at"])

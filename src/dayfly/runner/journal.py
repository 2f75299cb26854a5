"""What the runner tells while it works: events (JSON lines) and the console log."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from dayfly.runner.clock import utc_now
from dayfly.runs import layout
from dayfly.runs.chunks import ChunkWriter
from dayfly.runs.state import CellState, State


def _ignore(_: OSError) -> None:
    """Nobody to tell."""


class Journal:
    """Events and log of one run. Log text above `log_limit_bytes` is dropped, with a note.

    A write that fails never interrupts the notebook's messages: `on_failure` is told, and what
    could not be written is dropped.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        log_limit_bytes: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.on_failure: Callable[[OSError], None] = _ignore
        self._events = ChunkWriter(run_dir / layout.EVENTS, ".jsonl")
        self._log = ChunkWriter(run_dir / layout.LOG, ".txt")
        self._log_limit = log_limit_bytes
        self._line_open = False
        self._now = now
        self.state = State.REQUESTED
        self.warnings: list[str] = []

    def event(self, kind: str, at: datetime | None = None, **fields: Any) -> None:
        """Append one event, of now when `at` is not given."""
        record = {"at": (at or self._now()).isoformat(timespec="milliseconds"), "type": kind, **fields}
        self._append(self._events, json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    def _append(self, stream: ChunkWriter, data: bytes) -> None:
        try:
            stream.append(data)
        except OSError as error:
            self.on_failure(error)

    def enter(self, state: State, **fields: Any) -> None:
        """The run is now in `state`."""
        self.state = state
        self.event("state", state=state, **fields)

    def warn(self, message: str) -> None:
        """Something a user should know that does not end the run."""
        self.warnings.append(message)
        self.event("warning", message=message)
        self.line(f"warning: {message}")

    def cell_started(self, number: int, total: int, source: str, at: datetime) -> None:
        """Cell `number` of `total` began at `at`."""
        first = next((line for line in source.splitlines() if line.strip()), "")[:200]
        self.event("cell_started", at, cell=number, source=first)
        self.line(f"── cell {number} of {total} " + "─" * 40)

    def cell_finished(
        self, number: int, state: CellState, at: datetime, duration_s: float, **fields: Any
    ) -> None:
        """Cell `number` ended at `at`."""
        self.event("cell_finished", at, cell=number, state=state, duration_s=round(duration_s, 6), **fields)

    def text(self, text: str) -> None:
        """Append what the notebook printed, as it is."""
        if not text or self._log.size > self._log_limit:
            return
        data = text.encode("utf-8", "replace")
        if self._log.size + len(data) > self._log_limit:
            data = data[: self._log_limit - self._log.size]
            data += f"\n[dayfly] The log ends here: it reached {self._log_limit:,} bytes.\n".encode()
        self._append(self._log, data)
        self._line_open = not data.endswith(b"\n")

    def line(self, text: str) -> None:
        """Append a line of its own."""
        self.text(("\n" if self._line_open else "") + text + "\n")

    def sizes(self) -> dict[str, int]:
        """Bytes of each stream so far."""
        return {layout.EVENTS: self._events.size, layout.LOG: self._log.size}

    def close(self) -> None:
        """Close the files."""
        self._events.close()
        self._log.close()

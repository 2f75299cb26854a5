"""Following a run that another process executes, from the store alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.chunks import ChunkReader
from dayfly.runs.store import Store

Event = dict[str, Any]

_SHORTEST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_ASK_AFTER_S = 2.0


class EventReader:
    """The events of a run, each once, as they come."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._chunks = ChunkReader(store, layout.run_key(run_id, layout.EVENTS))
        self._rest = b""

    def read(self) -> list[Event]:
        """The events since the last call. A line that is not whole yet waits for its end."""
        lines = (self._rest + self._chunks.read()).split(b"\n")
        self._rest = lines.pop()
        return [event for line in lines if (event := _parse(line)) is not None]


def _parse(line: bytes) -> Event | None:
    """One event; None for a line that is damaged (a disk that was full), which says nothing."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "type" in event else None


def follow_events(store: Store, run_id: str, *, wait: Callable[[float], object]) -> Iterator[Event]:
    """Yield events until the run has ended, however it ended; `wait` sleeps for so many seconds.

    A run without events for a while is asked for its state, which ends the iteration when its runner
    is gone. Polling slows down while nothing comes, to at most one request a second.
    """
    reader = EventReader(store, run_id)
    pause, silent_s = _SHORTEST_PAUSE_S, 0.0
    while True:
        events = reader.read()
        for event in events:
            yield event
            if event["type"] == "ended":
                return
        if events:
            pause, silent_s = _SHORTEST_PAUSE_S, 0.0
            continue
        if silent_s >= _ASK_AFTER_S:
            silent_s = 0.0
            state = state_of(store, run_id)
            if state is not None and state.ended:
                yield from reader.read()
                return
        wait(pause)
        silent_s += pause
        pause = min(pause * 1.3, _LONGEST_PAUSE_S)

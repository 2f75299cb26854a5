"""Following a run that another process executes, from the store alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.chunks import ChunkReader
from dayfly.runs.state import State
from dayfly.runs.store import Store

Event = dict[str, Any]

MACHINE_STEP = "machine_step"
MACHINE_FAILED = "machine_failed"
MACHINE_WARNING = "machine_warning"
"""What a machine tells of itself, among the events of its run."""
STARTED = "started"
"""The step of a machine after which the runner speaks."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often to look, in seconds: `shortest` after news, longer and longer while nothing comes."""

    shortest_s: float
    longest_s: float
    a_request_s: float
    """Each request that a look took lengthens the wait to so much at least."""
    ask_after_s: float
    """After so much silence the run is asked for its state."""

    def first_wait(self, requests: int) -> float:
        """The wait after a look with news."""
        return max(self.shortest_s, requests * self.a_request_s)

    def next_wait(self, last_s: float, requests: int) -> float:
        """The wait after a look without."""
        return max(min(last_s * 1.3, self.longest_s), requests * self.a_request_s)


NEAR = Pace(shortest_s=0.05, longest_s=1.0, a_request_s=0.0, ask_after_s=2.0)
"""For a store on this machine, whose requests cost nothing."""
FAR = Pace(shortest_s=1.0, longest_s=5.0, a_request_s=1.0, ask_after_s=15.0)
"""For S3: one request a second at most, a fifth of that while nothing happens."""


def pace_of(store: Store) -> Pace:
    """How often the store may be asked."""
    return FAR if store.url.startswith("s3://") else NEAR


class EventReader:
    """The events of a run, each once, as they come."""

    def __init__(self, store: Store, run_id: str, *, stream: str = layout.EVENTS) -> None:
        """`stream` is another folder of the run with JSON lines in chunks."""
        self._chunks = ChunkReader(store, layout.run_key(run_id, stream))
        self._rest = b""

    @property
    def requests(self) -> int:
        """How many requests reading has taken so far."""
        return self._chunks.requests

    def read(self) -> list[Event]:
        """The events since the last call. A line that is not whole yet waits for its end."""
        lines = (self._rest + self._chunks.read()).split(b"\n")
        self._rest = lines.pop()
        return [event for line in lines if (event := _parse(line)) is not None]


class MachineReader(EventReader):
    """What a run's machine tells of itself, as events of the types `machine_…`."""

    def __init__(self, store: Store, run_id: str) -> None:
        super().__init__(store, run_id, stream=layout.MACHINE)

    def read(self) -> list[Event]:
        """The events since the last call."""
        return [{**event, "type": f"machine_{event['type']}"} for event in super().read()]


def _parse(line: bytes) -> Event | None:
    """One event; None for a line that is damaged (a disk that was full), which says nothing."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "type" in event else None


class _Streams:
    """The machine's stream until the runner speaks, then the runner's: one of them at a time."""

    def __init__(self, store: Store, run_id: str, *, on_machine: bool) -> None:
        self._events = EventReader(store, run_id)
        self._machine = MachineReader(store, run_id) if on_machine else None
        self.booting = on_machine

    @property
    def requests(self) -> int:
        return self._events.requests + (self._machine.requests if self._machine else 0)

    def read(self) -> list[Event]:
        if self._machine is not None and self.booting:
            told = self._machine.read()
            if not any(event.get("step") == STARTED for event in told):
                return told
            self.booting = False
            return told + self._events.read()
        return self._events.read()

    def know(self, state: State | None) -> None:
        """The run's state shows that the runner speaks, whatever its machine could tell."""
        if state in {State.PREPARING, State.RUNNING, State.SAVING} or (state and state.ended):
            self.booting = False

    def rest(self) -> list[Event]:
        """What is left when the run has ended."""
        machine = self._machine.read() if self._machine is not None else []
        return machine + self._events.read()


def follow_events(
    store: Store,
    run_id: str,
    *,
    wait: Callable[[float], object],
    on_machine: bool = False,
    hear: Callable[[], int] | None = None,
) -> Iterator[Event]:
    """Yield events until the run has ended, however it ended; `wait` sleeps for so many seconds.

    With `on_machine`, what the run's machine tells of itself comes first. `hear` reads something else of
    the run at each look, once the runner speaks, and returns how many requests that took. A run without
    events for a while is asked for its state, which ends the iteration when its runner is gone. The pace
    is that of the store: in S3, a request a second at most, and fewer while nothing comes.
    """
    pace = pace_of(store)
    streams = _Streams(store, run_id, on_machine=on_machine)
    # One that has nothing to tell may have ended without a word: it is asked at once.
    pause, silent_s, other, spent = pace.shortest_s, pace.ask_after_s, 0, 0
    while True:
        events = streams.read()
        for event in events:
            yield event
            if event["type"] == "ended":
                return
        if not events and silent_s >= pace.ask_after_s:
            silent_s, other = 0.0, other + 1
            state = state_of(store, run_id)
            streams.know(state)
            if state is not None and state.ended:
                yield from streams.rest()
                return
        if hear is not None and not streams.booting:
            other += hear()
        requests, spent = streams.requests + other - spent, streams.requests + other
        pause = pace.first_wait(requests) if events else pace.next_wait(pause, requests)
        if events and pace is NEAR:
            continue
        wait(pause)
        silent_s = 0.0 if events else silent_s + pause

"""One run, for Python code: `dayfly.run(...)` returns it, `dayfly.find(...)` finds it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dayfly.errors import DamagedFileError, RunConflictError, RunNotFoundError
from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.chunks import ChunkReader
from dayfly.runs.compat import UTC
from dayfly.runs.follow import FAR, Event, EventReader, follow_events, pace_of
from dayfly.runs.model import M, parse_model
from dayfly.runs.receipt import Receipt, find_mismatches
from dayfly.runs.request import Request
from dayfly.runs.result import Result
from dayfly.runs.state import State
from dayfly.runs.store import Store

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclass(frozen=True)
class Run:
    """A run in a store. Nothing is kept here: each property reads what is there now."""

    run_id: str
    store: Store

    @property
    def state(self) -> State | None:
        """Where the run is; None when that cannot be known."""
        return state_of(self.store, self.run_id)

    @property
    def request(self) -> Request:
        """What was asked."""
        request = self._load(layout.REQUEST, Request)
        if request is None:
            raise RunNotFoundError(f"The run {self.run_id} has no request in {self.store.url}.")
        return request

    @property
    def result(self) -> Result | None:
        """How it ended; None while it has not, and for a run that was lost."""
        return self._load(layout.RESULT, Result)

    @property
    def receipt(self) -> Receipt | None:
        """How to repeat and check it; None before it has ended."""
        return self._load(layout.RECEIPT, Receipt)

    @property
    def output(self) -> NotebookNode:
        """The executed notebook, as far as it has come.

        Raises RunConflictError when there is none and DamagedFileError when it is no notebook.
        """
        from nbformat import v4

        content = self.output_bytes()
        try:
            notebook: NotebookNode = v4.reads(content.decode())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise DamagedFileError(
                f"{self._place(layout.OUTPUT)} is damaged{where}.",
                why=f"It should be a notebook: {type(error).__name__}: {error}.",
                hint=f"Execute it again with: dayfly rerun {self.run_id}",
            ) from error
        return notebook

    def output_bytes(self) -> bytes:
        """The executed notebook's file. Raises RunConflictError when there is none."""
        content = self.store.get(self._key(layout.OUTPUT))
        if content is None:
            raise RunConflictError(
                f"The run {self.run_id} has no executed notebook.",
                why="It has not begun, or ended before its first cell.",
                hint=f"See why with: dayfly show {self.run_id}",
            )
        return content

    def log(self) -> str:
        """The console text so far."""
        return ChunkReader(self.store, self._key(layout.LOG)).read().decode("utf-8", "replace")

    def events(self, *, follow: bool = False) -> Iterator[Event]:
        """The events so far; with `follow`, those to come too, until the run has ended."""
        if follow:
            return follow_events(self.store, self.run_id, wait=time.sleep)
        return iter(EventReader(self.store, self.run_id).read())

    async def events_async(self) -> AsyncIterator[Event]:
        """The events as they come, until the run has ended."""
        import asyncio

        wake = threading.Event()
        events = follow_events(self.store, self.run_id, wait=wake.wait)
        try:
            while (event := await asyncio.to_thread(next, events, None)) is not None:
                yield event
        finally:
            wake.set()

    def wait(self, timeout_s: float | None = None) -> State | None:
        """Wait until the run has ended and return its state; TimeoutError after `timeout_s`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        far = pace_of(self.store) is FAR
        pause, longest = (FAR.shortest_s, FAR.longest_s) if far else (0.01, 1.0)
        while True:
            state = self.state
            if state is not None and state.ended:
                return state
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"The run {self.run_id} has not ended within {timeout_s:g} s.")
            time.sleep(pause)
            pause = min(pause * 1.2, longest)

    async def wait_async(self, timeout_s: float | None = None) -> State | None:
        """`wait`, for asynchronous code."""
        import asyncio

        return await asyncio.to_thread(self.wait, timeout_s)

    def check(self) -> Run:
        """Return the run when it succeeded; raise the error of its state when it ended otherwise."""
        state = self.state
        error = state.error if state else None
        if error is not None:
            result = self.result
            raise error(
                f"The run {self.run_id} ended as {state}.",
                why=result.message if result else "Its runner left no result.",
                hint=f"See more with: dayfly show {self.run_id}",
            )
        return self

    def stop(self, by: str = "") -> None:
        """Ask for the end: interrupt, save what there is, end as cancelled. Returns at once.

        Raises RunConflictError when the run has ended.
        """
        state = self.state
        if state is not None and state.ended:
            raise RunConflictError(f"The run {self.run_id} has ended already ({state}).")
        asked = {"at": datetime.now(UTC).isoformat(), "by": by}
        self.store.create(self._key(layout.STOP), json.dumps(asked).encode() + b"\n")

    def verify(self) -> list[str]:
        """What no longer matches the receipt, a sentence each. Raises RunConflictError without one."""
        receipt = self.receipt
        if receipt is None:
            raise RunConflictError(
                f"The run {self.run_id} has no receipt.",
                why="A receipt is written when a run ends; this one has not, or was lost.",
            )
        return find_mismatches(self.store, receipt)

    def _key(self, name: str) -> str:
        return layout.run_key(self.run_id, name)

    def _load(self, name: str, kind: type[M]) -> M | None:
        content = self.store.get(self._key(name))
        return None if content is None else parse_model(kind, content, self._place(name))

    def _place(self, name: str) -> str:
        """Where a file of the run is, in words."""
        return str(self.store.path(self._key(name)) or f"{self.store.url}/{self._key(name)}")

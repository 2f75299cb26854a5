"""The heartbeat: a run's status object, written at each change of state and every few seconds."""

from __future__ import annotations

import threading
from datetime import datetime
from types import TracebackType

from dayfly.runs.compat import UTC
from dayfly.runs.state import State

BEAT_S = 10.0


class Heart:
    """A thread that beats until the run has ended. A store that fails is tried again at the next beat."""

    def __init__(self, store_url: str, run_id: str, *, beat_s: float = BEAT_S) -> None:
        self._store_url = store_url
        self._run_id = run_id
        self._beat_s = beat_s
        self._state: State | None = None
        self._changed = threading.Event()
        self._leaving = False
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def enter(self, state: State) -> None:
        """The run is in `state` now; says so without waiting for the store."""
        self._state = state
        self._changed.set()

    def __enter__(self) -> Heart:  # noqa: PYI034 -- typing's Self is younger than Python 3.10
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The last beat, within the time of one."""
        self._leaving = True
        self._changed.set()
        self._thread.join(self._beat_s)

    def _beat(self) -> None:
        # The kernel boots first: this thread's imports wait for the first change of state.
        self._changed.wait(self._beat_s)
        from dayfly.errors import StoreError
        from dayfly.runs.status import put_status
        from dayfly.runs.store import open_store

        store = open_store(self._store_url)
        while True:
            leaving = self._leaving
            self._changed.clear()
            try:
                # No state was entered yet, or none at all: another runner has the run.
                if self._state is not None:
                    put_status(store, self._run_id, self._state, datetime.now(UTC))
            except StoreError:
                if leaving:
                    return
            if leaving:
                return
            if not self._leaving:
                self._changed.wait(self._beat_s)

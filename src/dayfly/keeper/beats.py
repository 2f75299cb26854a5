"""The keeper's heartbeat, in a thread of its own: a long upload must not look like death."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from types import TracebackType

from dayfly.errors import StoreError
from dayfly.runs.compat import UTC
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store

BEAT_S = 30.0
LOOK_S = 0.5
"""Between two looks at the state, and after a beat that failed."""


class Pulse:
    """What is to be told and when: at once when the state changes, else every BEAT_S.

    A run that nobody has taken up yet is still what its submission, or its machine, said of it; and that it
    has ended is told when all of it is in the store.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        look: Callable[[], State],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._look = look
        self._clock = clock
        self._said: State | None = None
        self._beaten = float("-inf")

    def beat(self) -> None:
        """Tell the state if it is time to. A store that fails is tried again at the next call."""
        state = self._look()
        if state.ended or state is State.REQUESTED:
            return
        if state is self._said and self._clock() - self._beaten < BEAT_S:
            return
        with suppress(StoreError):
            put_status(self._store, self._run_id, state, datetime.now(UTC))
            self._said, self._beaten = state, self._clock()


class Beating:
    """A thread that beats as long as the `with` block lasts; afterwards nothing of it is on its way."""

    def __init__(self, pulse: Pulse, *, look_s: float = LOOK_S) -> None:
        self._pulse = pulse
        self._look_s = look_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="beats", daemon=True)

    def __enter__(self) -> Beating:  # noqa: PYI034 -- typing's Self is younger than Python 3.10
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._look_s):
            self._pulse.beat()

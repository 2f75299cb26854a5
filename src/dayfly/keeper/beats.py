"""The keeper's heartbeat, in a thread of its own: a long upload must not look like death."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime

from dayfly.errors import StoreError
from dayfly.keeper.beside import beside
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


def beating(pulse: Pulse, *, look_s: float = LOOK_S) -> AbstractContextManager[None]:
    """Beat in a thread of its own as long as the `with` block lasts."""

    def beat(over: threading.Event) -> None:
        while not over.wait(look_s):
            pulse.beat()

    return beside(beat, name="beats")

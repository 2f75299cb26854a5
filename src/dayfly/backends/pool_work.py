"""What a pool has to do: the points that are open, and how often each may be tried."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from dayfly.runs.request import Request
from dayfly.runs.state import State
from dayfly.runs.store import Store
from dayfly.runs.sweep import Point, SweepRequest, request_of
from dayfly.runs.sweep_states import SETTLED, list_attempts, load_again, open_points

_WORTH_IT = frozenset({State.LOST, State.INTERRUPTED, State.NEVER_STARTED, None})
"""Ends that another attempt may well escape; what a cell raised it would raise again."""


@dataclass(kw_only=True)
class Work:
    """The queue of one pool. A point that does not settle is tried `retries` times more, and not again."""

    store: Store
    sweep: SweepRequest
    points: Sequence[Point]
    queue: deque[tuple[int, int]] = field(default_factory=deque)
    elsewhere: int = 0
    """Attempts that go on and are not ours: of a pool that was killed, say."""
    _again: Counter[int] = field(default_factory=Counter)
    _unsettled: Counter[int] = field(default_factory=Counter)
    _given_up: set[int] = field(default_factory=set)

    def refresh(self, running: set[int]) -> None:
        """Look what is open; `running` are the points that we are at work on."""
        again = load_again(self.store, self.sweep.sweep_id)
        for index in again - self._again:  # asked for anew: whatever became of it before
            self._given_up.discard(index)
            self._unsettled.pop(index, None)
        self._again = again
        attempts = list_attempts(self.store, self.sweep.sweep_id, self.sweep.count)
        self.elsewhere = sum(
            attempt.state is not None and not attempt.state.ended and index not in running
            for index, attempt in attempts.items()
        )
        found = open_points(self.sweep, self.points, attempts, again)
        self.queue = deque(each for each in found if each[0] not in running | self._given_up)

    def ended(self, index: int, number: int, state: State | None) -> None:
        """An attempt of ours came to this; None when nobody knows."""
        if state in SETTLED:
            return
        self._unsettled[index] += 1
        if state in _WORTH_IT and self._unsettled[index] <= self.sweep.retries:
            self.queue.append((index, number + 1))
        else:
            self._given_up.add(index)

    def request(self, index: int, number: int) -> Request:
        """The request of an attempt."""
        return request_of(self.sweep, index, self.points[index], number)

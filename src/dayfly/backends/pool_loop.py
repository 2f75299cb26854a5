"""The loop of a pool: begin what is open, hear of what ends, heed who asks for the end."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from dayfly.backends.pool_children import Child, ForkedStart, Start
from dayfly.backends.pool_work import Work
from dayfly.errors import DayflyError, RunNotFoundError, StoreError
from dayfly.runner.facts import gather_facts
from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.request import Request
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store

_LOOK_S = 0.5
"""How soon a stop is heeded."""
_LOOK_AT_STARTED_S = 0.1
"""How soon the end of what is no fork of ours is seen."""
_ELSEWHERE_S = 2.0
"""How often to ask for attempts that are not ours, when nothing else is left."""
_FACTS_S = 10.0
"""How old what receipts say of the place may be; more where Git takes long."""
_FACTS_SHARE = 50


@dataclass(kw_only=True)
class _Run:
    number: int
    request: Request
    child: Child
    stopped: bool = False


@dataclass(kw_only=True)
class Pool:
    """A sweep at work. `wake` becomes readable, with a byte a signal, when the pool itself is to end."""

    store: Store
    work: Work
    content: bytes
    start: Start
    jobs: int
    wake: int
    clock: Callable[[], float] = time.monotonic
    _running: dict[int, _Run] = field(default_factory=dict)
    _stop: bytes | None = None
    _signalled: bool = False
    _looked: float = float("-inf")
    _facts_until: float = float("-inf")

    def run(self) -> int:
        """Until nothing is open, or somebody asks; returns the exit code."""
        self.work.refresh(set())
        while True:
            self._look()
            if self._ending:
                if not self._running:
                    return (State.INTERRUPTED if self._signalled else State.CANCELLED).exit_code
            else:
                while self.work.queue and len(self._running) < self.jobs:
                    self._begin(*self.work.queue.popleft())
                if not self._running and not self._more():
                    return 0
            self._wait()

    @property
    def _ending(self) -> bool:
        return self._signalled or self._stop is not None

    def _more(self) -> bool:
        """With nothing at work: whether there is anything that was not known, or that others work on."""
        self.work.refresh(set())
        return bool(self.work.queue or self.work.elsewhere)

    def _look(self) -> None:
        """Who asks for the end."""
        if self.clock() - self._looked < _LOOK_S:
            return
        self._looked = self.clock()
        with suppress(StoreError):  # the next look asks again; the runs do not depend on us
            if self._stop is None:
                self._stop = self.store.get(layout.sweep_key(self.work.sweep.sweep_id, layout.STOP))
            for run in self._running.values() if self._stop is not None else ():
                if not run.stopped:
                    self.store.create(layout.run_key(run.request.run_id, layout.STOP), self._stop or b"{}\n")
                    run.stopped = True

    def _begin(self, index: int, number: int) -> None:
        request = self.work.request(index, number)
        try:
            # Not there unless a pool was killed at just this place: then the rest is made good. With a status
            # it is of a pool on another machine, whose lock does not reach here, and which works on it.
            created = self.store.create(layout.run_key(request.run_id, layout.REQUEST), request.to_bytes())
            if not created and self.store.exists(layout.status_key(request.run_id)):
                return
            self.store.put(layout.run_key(request.run_id, layout.INPUT), self.content)
            put_status(self.store, request.run_id, State.REQUESTED, request.created)
            self._renew_facts(request)
            child = self.start(request, self.content)
        except (OSError, DayflyError) as error:
            self._tell(f"{request.run_id} could not be started: {error}")
            with suppress(StoreError):  # what waits for a runner would seem to go on
                if self.store.exists(layout.status_key(request.run_id)):
                    put_status(self.store, request.run_id, State.NEVER_STARTED, request.created)
            self.work.ended(index, number, None)
            return
        self._running[index] = _Run(number=number, request=request, child=child)

    def _renew_facts(self, request: Request) -> None:
        """What receipts say of the place, gathered once for many runs."""
        if not isinstance(self.start, ForkedStart) or self.clock() < self._facts_until:
            return
        began = self.clock()
        self.start.facts = gather_facts(request)
        took_s = self.clock() - began
        self._facts_until = self.clock() + max(_FACTS_S, _FACTS_SHARE * took_s)

    def _wait(self) -> None:
        """Until something ends or a signal comes, or it is time to look."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        descriptors = [run.child.descriptor() for run in self._running.values()]
        for descriptor in descriptors:
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        patience_s = (
            _ELSEWHERE_S if not self._running else _LOOK_AT_STARTED_S if None in descriptors else _LOOK_S
        )
        poll.poll(patience_s * 1000)
        self._hear_signals()
        for index, run in list(self._running.items()):
            if run.child.ended():
                del self._running[index]
                self.work.ended(index, run.number, self._state_of(run.request.run_id))

    def _hear_signals(self) -> None:
        try:
            signals = len(os.read(self.wake, 64))
        except BlockingIOError:
            return
        self._signalled = True
        for _ in range(signals):
            for run in self._running.values():
                run.child.interrupt()

    def _state_of(self, run_id: str) -> State | None:
        try:
            state = state_of(self.store, run_id)
        except (RunNotFoundError, DayflyError):
            return None
        # Nothing of it is at work any more: one that has not ended has never begun, or was lost.
        return state if state is None or state.ended else State.LOST

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # the disk is full, say, which is what would be told
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

"""Watching a sweep: what is looked at how often, and what Ctrl-C does."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from dayfly.backends.processes import Execution
from dayfly.backends.sweep_view import Overview, Sweep, look_every_s
from dayfly.cli.progress import Progress
from dayfly.cli.watch import DetachedError, interrupting
from dayfly.runs import layout
from dayfly.runs.follow import EventReader
from dayfly.runs.state import State

_REFRESH_S = 0.1
_SETTLED_S = 10.0
_SHOWN = 12
"""So many running points are looked at closely: what a terminal has room for."""


@dataclass(kw_only=True)
class Picture:
    """What a view shows: the sweep as last seen, the points at work, and what went wrong."""

    overview: Overview
    running: Mapping[int, Progress] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)
    """Points that failed while we watched or before, and why, the last one last."""
    began: float = 0.0
    """When the watching began, in seconds of the monotonic clock, and how many were done then."""
    done_before: int = 0

    @property
    def per_s(self) -> float:
        """How many points came to an end in a second, since the watching began."""
        passed = time.monotonic() - self.began
        return (self.overview.done - self.done_before) / passed if passed > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until all are done, at that rate; None while there is none."""
        rate = self.per_s
        return (len(self.overview.points) - self.overview.done) / rate if rate > 0 else None


class SweepView(Protocol):
    """Shows a sweep. `changed` hears of every point once a state; `refresh` is called many times a second."""

    def changed(self, index: int, state: State | None, picture: Picture) -> None:
        """A point is in another state than when last seen."""

    def refresh(self, picture: Picture) -> None:
        """Time has passed."""

    def notice(self, text: str) -> None:
        """Tell the person something about this command."""


def watch_sweep(sweep: Sweep, process: Execution | None, view: SweepView) -> Overview:
    """Watch a sweep until nobody works on it; Ctrl-C ends one that `process` executes.

    Raises DetachedError on Ctrl-C for a sweep that another process executes.
    """
    watch = _Watch(sweep, view)
    if process is None:
        return _watch_elsewhere(watch)
    notice = "Interrupting the runs and saving what there is; Ctrl-C again to kill them."
    with interrupting(process, view, notice, by=(signal.SIGINT, signal.SIGTERM)):
        while not process.wait(_REFRESH_S):
            watch.go_on()
    # What worked on it is gone: who still waits for it waits in vain.
    return replace(_look_when_settled(watch), awaited=False)


def _look_when_settled(watch: _Watch) -> Overview:
    """The sweep when its last runs have ended: those of a pool that was killed do, moments after it."""
    give_up = time.monotonic() + _SETTLED_S
    while (overview := watch.look()).running and not overview.working and time.monotonic() < give_up:
        time.sleep(_REFRESH_S)
    return overview


def _watch_elsewhere(watch: _Watch) -> Overview:
    pause = threading.Event()
    try:
        while not watch.look_if_due().state.ended:
            watch.go_on()
            pause.wait(_REFRESH_S)
    except KeyboardInterrupt:
        raise DetachedError from None
    return watch.look()


class _Watch:
    """What is known of the sweep so far."""

    def __init__(self, sweep: Sweep, view: SweepView) -> None:
        self._sweep, self._view = sweep, view
        self._states: list[State | None] = [None] * sweep.request.count
        self._readers: dict[int, tuple[EventReader, Progress]] = {}
        self._picture: Picture | None = None
        self._first = True
        self._due = 0.0

    def go_on(self) -> None:
        """Look when it is time to, and draw."""
        self.look_if_due()
        if self._picture is not None:
            if self._sweep.store.root is not None:
                self._read_running(self._picture)
            self._view.refresh(self._picture)

    def look_if_due(self) -> Overview:
        """The sweep as last seen, which is not long ago."""
        if self._picture is None or time.monotonic() >= self._due:
            return self.look()
        return self._picture.overview

    def look(self) -> Overview:
        """The sweep as it stands now; the view hears what is new."""
        began = time.monotonic()
        overview = self._sweep.look()
        if self._picture is None:
            self._picture = Picture(overview=overview, began=began, done_before=overview.done)
        picture = self._picture
        picture.overview = overview
        self._tell_changes(picture)
        self._read_running(picture)
        took = timedelta(seconds=time.monotonic() - began)
        self._due = time.monotonic() + look_every_s(self._sweep, took=took)
        return overview

    def _tell_changes(self, picture: Picture) -> None:
        states = picture.overview.states
        for index, (before, state) in enumerate(zip(self._states, states, strict=True)):
            if before == state:
                continue
            failures = dict(picture.failures)
            failures.pop(index, None)
            if state in {State.FAILED, State.TIMED_OUT, State.LOST, State.NEVER_STARTED}:
                failures[index] = self._message_of(picture.overview, index)
            picture.failures = failures
            if not (self._first and state is not None and state.ended):  # that was before we came
                self._view.changed(index, state, picture)
        self._states, self._first = states, False

    def _message_of(self, overview: Overview, index: int) -> str:
        run_id = overview.run_of(index)
        content = self._sweep.store.get(layout.run_key(run_id, layout.RESULT)) if run_id else None
        try:
            message = str(json.loads(content)["message"]) if content else "It left no result."
        except (ValueError, KeyError, TypeError):
            message = "Its result is damaged."
        return message

    def _read_running(self, picture: Picture) -> None:
        """What the events of the first running points tell."""
        shown = picture.overview.running[:_SHOWN]
        for index in [index for index in self._readers if index not in shown]:
            del self._readers[index]
        for index in shown:
            run_id = picture.overview.run_of(index)
            if run_id is None:
                continue
            if index not in self._readers:
                self._readers[index] = (EventReader(self._sweep.store, run_id), Progress())
            reader, progress = self._readers[index]
            for event in reader.read():
                progress.take(event)
        picture.running = {index: self._readers[index][1] for index in shown if index in self._readers}


def events_of(index: int, state: State | None, picture: Picture) -> Iterator[dict[str, object]]:
    """What programs are told of a point, as events."""
    overview = picture.overview
    told: dict[str, object] = {
        "type": "point",
        "at": datetime.now(UTC).isoformat(),
        "index": index,
        "state": state,
        "run_id": overview.run_of(index),
        "parameters": overview.points[index].parameters,
    }
    if index in picture.failures:
        told["message"] = picture.failures[index]
    yield told

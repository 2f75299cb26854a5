"""One rehearsed run from its submission to its verdict, with a fault where one is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dayfly.errors import DayflyError, StoreError, UsageError

if TYPE_CHECKING:
    from dayfly.backends.asked import Asked
    from dayfly.cli.progress import Progress
    from dayfly.cli.views import View
    from dayfly.rehearsal.faults import Arranged, Fault, Moment
    from dayfly.rehearsal.session import Rehearsal
    from dayfly.rehearsal.verdict import Verdict
    from dayfly.runs.follow import Event
    from dayfly.runs.run import Run
    from dayfly.runs.state import State

GONE_WITHIN_S = 60.0
AGAIN_S = 2.0
AFTER_FAULT_S = 120.0
"""How long a run is followed that a fault has met: a runner that is gone is taken for dead after 90 s."""


class EnoughSeenError(Exception):
    """Nothing more will come of the run but its deadline."""


def perform(
    rehearsal: Rehearsal,
    asked: Asked,
    *,
    quiet: bool,
    keep: bool = False,
    fault: Fault | None = None,
    moment: Moment | None = None,
) -> tuple[Verdict, DayflyError | None]:
    """Submit, follow to the end, and judge; with the error, where a fault let AWS refuse the machine.

    Raises UsageError where the fault cannot happen at that moment, or did not happen.
    """
    from dayfly.backends.creation import create_run
    from dayfly.backends.ec2 import start_ec2
    from dayfly.backends.submission import plan_submission
    from dayfly.cli.remote import show_creation
    from dayfly.rehearsal.verdict import judge

    submission = plan_submission(asked, rehearsal.project, os.environ, datetime.now(UTC))
    target = submission.target
    if target is None:
        raise ValueError("a run on a machine has a target")
    refused: DayflyError | None = None
    with _arranged(rehearsal, fault, moment) as arranged:
        run_id = submission.request.run_id
        try:
            request = create_run(target.store, submission)
            run_id = request.run_id
            with show_creation(quiet=quiet) as on_event:
                run = start_ec2(target.store, request, target, on_event=on_event).run
        except DayflyError as error:
            if fault is None:
                raise
            refused = error
        else:
            _follow(run, arranged, quiet=quiet)
        ended_at = time.monotonic()
        if arranged is not None:
            _check_happened(arranged)
        if refused is None:
            within_s = 0.0 if keep else GONE_WITHIN_S
            return judge(rehearsal, run_id, ended_at=ended_at, within_s=within_s), None
    # With the fault still there, perhaps nothing could be looked at.
    verdict = judge(rehearsal, run_id, ended_at=ended_at)
    if verdict.reason == "":
        verdict = replace(verdict, reason="refused", message=refused.what)
    return verdict, refused


@contextmanager
def _arranged(rehearsal: Rehearsal, fault: Fault | None, moment: Moment | None) -> Iterator[Arranged | None]:
    if fault is None:
        yield None
        return
    from dayfly.rehearsal.faults import arrange

    with arrange(rehearsal, fault, moment) as arranged:
        yield arranged


def _check_happened(arranged: Arranged) -> None:
    if arranged.problem is not None:
        raise arranged.problem
    if arranged.happened is None:
        raise UsageError(
            f"The fault {arranged.fault.name} did not happen: the run ended before ({arranged.moment}).",
            hint="Name an earlier moment with --at, or a notebook that takes longer.",
        )


def _follow(run: Run, arranged: Arranged | None, *, quiet: bool) -> None:
    """To the run's end; after a fault for so long as anything may still come of it.

    Raises KeyboardInterrupt on Ctrl-C: nothing of a rehearsal goes on without whoever watches it.
    """
    from dayfly.cli.views import choose_view
    from dayfly.cli.watch import DetachedError, watch_elsewhere

    try:
        with choose_view(run, quiet=quiet, as_json=False) as view, suppress(EnoughSeenError):
            if arranged is None:
                watch_elsewhere(run, view)
            else:
                watch_patiently(run, PatientView(view, arranged), watch_elsewhere)
    except DetachedError:
        raise KeyboardInterrupt from None


def watch_patiently(
    run: Run,
    view: PatientView,
    watch: Callable[[Run, View], State | None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """To the end, also where the fault meets who watches: a store that does not answer is asked again.

    Raises EnoughSeenError when nothing more can be expected of the run.
    """
    while True:
        try:
            watch(run, view)
        except StoreError:
            view.check()
            sleep(AGAIN_S)
        else:
            return


class PatientView:
    """A view that has seen enough when nothing more has come of a run for a while after its fault."""

    def __init__(self, view: View, arranged: Arranged, clock: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._arranged = arranged
        self._clock = clock

    def event(self, event: Event, progress: Progress) -> None:
        """Shown."""
        self._view.event(event, progress)

    def notice(self, text: str) -> None:
        """Shown."""
        self._view.notice(text)

    def refresh(self, progress: Progress) -> None:
        """Shown; then, perhaps, enough has been seen. Raises EnoughSeenError."""
        self._view.refresh(progress)
        self.check()

    def check(self) -> None:
        """Raises EnoughSeenError when nothing more can be expected."""
        happened = self._arranged.happened
        if happened is not None and self._clock() - happened > AFTER_FAULT_S:
            raise EnoughSeenError

"""Following a rehearsed run whose fault meets whoever follows it, too."""

from __future__ import annotations

import pytest

from dayfly.cli.progress import Progress
from dayfly.cli.rehearsal_run import AFTER_FAULT_S, AGAIN_S, EnoughSeenError, PatientView, watch_patiently
from dayfly.cli.views import QuietView, View
from dayfly.errors import StoreError, UsageError
from dayfly.rehearsal.faults import Arranged, find_fault
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import open_store
from tests.unit.support import RUN_ID, FakeClock


class Watching:
    """Watches a run whose store does not answer the first times."""

    def __init__(self, unanswered: int = 0, error: Exception | None = None) -> None:
        self.left = unanswered
        self.error = error or StoreError("The store does not answer.")
        self.watched = 0

    def __call__(self, run: Run, view: View) -> State | None:
        assert run.run_id == RUN_ID
        self.watched += 1
        if self.left:
            self.left -= 1
            raise self.error
        view.refresh(Progress())
        return State.SUCCEEDED


class Seen(QuietView):
    """Counts how often it was to be drawn."""

    def __init__(self) -> None:
        self.drawn = 0

    def refresh(self, progress: Progress) -> None:
        self.drawn += 1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def run() -> Run:
    return Run(RUN_ID, open_store("memory://"))


def arranged(happened: float | None) -> Arranged:
    fault = find_fault("runner-killed")
    return Arranged(fault=fault, moment=fault.moment(None), happened=happened)


def test_a_run_that_can_be_followed_is_followed_once(run: Run, clock: FakeClock) -> None:
    watching, seen = Watching(), Seen()
    watch_patiently(run, PatientView(seen, arranged(None), clock), watching, clock.sleep)
    assert (watching.watched, seen.drawn, clock.slept) == (1, 1, [])


def test_a_store_that_does_not_answer_is_asked_again_after_a_pause(run: Run, clock: FakeClock) -> None:
    watching = Watching(unanswered=3)
    watch_patiently(run, PatientView(Seen(), arranged(clock()), clock), watching, clock.sleep)
    assert (watching.watched, clock.slept) == (4, [AGAIN_S] * 3)


def test_a_store_that_never_answers_again_is_given_up_some_time_after_the_fault(
    run: Run, clock: FakeClock
) -> None:
    with pytest.raises(EnoughSeenError):
        watch_patiently(
            run, PatientView(Seen(), arranged(clock()), clock), Watching(unanswered=10**6), clock.sleep
        )
    assert AFTER_FAULT_S < sum(clock.slept) <= AFTER_FAULT_S + AGAIN_S


def test_before_the_fault_has_happened_nobody_gives_up(run: Run, clock: FakeClock) -> None:
    many = int(AFTER_FAULT_S / AGAIN_S) * 2
    watching = Watching(unanswered=many)
    watch_patiently(run, PatientView(Seen(), arranged(None), clock), watching, clock.sleep)
    assert watching.watched == many + 1


def test_a_run_that_says_nothing_more_is_given_up_as_well(run: Run, clock: FakeClock) -> None:
    view = PatientView(Seen(), arranged(clock()), clock)
    clock.sleep(AFTER_FAULT_S + 1)
    with pytest.raises(EnoughSeenError):
        watch_patiently(run, view, Watching(), clock.sleep)


def test_any_other_error_is_nobodys_fault_and_is_told(run: Run, clock: FakeClock) -> None:
    watching = Watching(unanswered=1, error=UsageError("There is no such run."))
    with pytest.raises(UsageError):
        watch_patiently(run, PatientView(Seen(), arranged(None), clock), watching, clock.sleep)
    assert clock.slept == []

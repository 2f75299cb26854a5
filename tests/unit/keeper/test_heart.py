from pathlib import Path

import pytest

from dayfly.errors import RunConflictError
from dayfly.keeper.heart import Heart
from dayfly.runs import layout
from dayfly.runs.state import State
from dayfly.runs.status import state_of_size
from tests.unit.support import RUN_ID, wait_for


@pytest.fixture
def status(tmp_path: Path) -> Path:
    return tmp_path / layout.status_key(RUN_ID)


def said(status: Path) -> State | None:
    return state_of_size(status.stat().st_size) if status.exists() else None


def test_a_new_state_is_told_without_waiting_for_the_next_beat(tmp_path: Path, status: Path) -> None:
    with Heart(str(tmp_path), RUN_ID, beat_s=60) as heart:
        heart.enter(State.PREPARING)
        wait_for(lambda: said(status) is State.PREPARING)
        heart.enter(State.RUNNING)
        wait_for(lambda: said(status) is State.RUNNING)


def test_it_beats_while_nothing_changes(tmp_path: Path, status: Path) -> None:
    with Heart(str(tmp_path), RUN_ID, beat_s=0.01) as heart:
        heart.enter(State.RUNNING)
        wait_for(status.exists)
        first = status.stat().st_mtime_ns
        wait_for(lambda: status.stat().st_mtime_ns > first)


def test_the_last_state_is_told_before_it_stops(tmp_path: Path, status: Path) -> None:
    with Heart(str(tmp_path), RUN_ID, beat_s=60) as heart:
        heart.enter(State.RUNNING)
        heart.enter(State.SUCCEEDED)
    assert said(status) is State.SUCCEEDED


def test_a_runner_that_was_refused_says_nothing(tmp_path: Path, status: Path) -> None:
    """Another runner has the run, or it has ended: its state is not ours to tell."""
    with pytest.raises(RunConflictError), Heart(str(tmp_path), RUN_ID, beat_s=60):
        raise RunConflictError("Another runner is executing it.")
    assert not status.exists()


def test_a_store_that_fails_is_tried_again_at_the_next_beat(tmp_path: Path, status: Path) -> None:
    (tmp_path / layout.STATUS).write_text("in the way")
    with Heart(str(tmp_path), RUN_ID, beat_s=0.01) as heart:
        heart.enter(State.RUNNING)
        wait_for(heart._thread.is_alive)
        (tmp_path / layout.STATUS).unlink()
        wait_for(lambda: said(status) is State.RUNNING)

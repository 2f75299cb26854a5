"""A machine's disk that is full must not keep what is there from coming home (FAULTS 18)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.result import Reason
from dayfly.runs.state import State
from tests.unit.keeper.test_keep import Runner, Script, keep_with, result_in
from tests.unit.support import RUN_ID, make_request, recording_store


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory in which nothing of the keeper's has room: not the files that it would write."""
    made = tmp_path / RUN_ID
    (made / layout.OUTPUTS).mkdir(parents=True)
    (made / layout.REQUEST).write_bytes(make_request().to_bytes())
    for name in (layout.STOP, layout.RESULT):
        (made / f".{name}").symlink_to("/dev/full")
    return made


@pytest.fixture
def runner(run_dir: Path) -> Iterator[Runner]:
    made = Runner(run_dir)
    yield made
    made.let_go()
    made.events.close()


def test_a_runner_that_it_has_killed_is_told_and_what_it_left_is_saved(run_dir: Path, runner: Runner) -> None:
    store, script = recording_store(), Script()
    runner.take_up()
    runner.enter(State.RUNNING)
    (run_dir / layout.OUTPUT).write_bytes(b"as far as it came")
    script.at(30, runner.let_go)
    assert keep_with(run_dir, store, script)
    assert (result_in(store).state, result_in(store).reason) == (State.LOST, Reason.RUNNER_GONE)
    assert state_of(store, RUN_ID) is State.LOST
    assert store.get(layout.run_key(RUN_ID, layout.OUTPUT)) == b"as far as it came"
    last = [key for key in store.puts() if key.startswith(layout.RUNS)][-1]
    assert last == layout.run_key(RUN_ID, layout.RESULT)
    assert not (run_dir / layout.RESULT).exists()


def test_a_stop_that_cannot_be_brought_is_brought_later_and_harms_nothing(
    run_dir: Path, runner: Runner
) -> None:
    store, script = recording_store(), Script()
    store.put(layout.run_key(RUN_ID, layout.STOP), b'{"by": "ada"}')
    runner.take_up()
    brought: list[bool] = []
    script.at(15, lambda: brought.append((run_dir / layout.STOP).exists()))
    script.at(16, lambda: runner.finish(State.CANCELLED))
    assert keep_with(run_dir, store, script)
    assert brought == [True]
    assert state_of(store, RUN_ID) is State.CANCELLED

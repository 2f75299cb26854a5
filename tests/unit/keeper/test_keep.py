from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dayfly.keeper import keep
from dayfly.keeper.beats import Pulse
from dayfly.keeper.keep import count_cells, keep_run, last_state, write_lost_result
from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.chunks import ChunkWriter
from dayfly.runs.lock import acquire_lock
from dayfly.runs.result import CellCounts, Reason, Result
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from tests.unit.support import (
    NOW,
    RUN_ID,
    FakeClock,
    RecordingStore,
    failing_store,
    make_request,
    make_result,
    recording_store,
)


class Runner:
    """A runner at work in a run directory, as far as the keeper sees it."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._lock: int | None = None
        self.events = ChunkWriter(run_dir / layout.EVENTS, ".jsonl")

    def take_up(self) -> None:
        self._lock = acquire_lock(self.run_dir)

    def enter(self, state: State) -> None:
        self.events.append(json.dumps({"type": "state", "state": state}).encode() + b"\n")

    def finish(self, state: State = State.SUCCEEDED) -> None:
        (self.run_dir / layout.OUTPUT).write_bytes(b"the notebook")
        (self.run_dir / layout.RESULT).write_bytes(make_result(state=state).to_bytes())
        self.let_go()

    def let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class Script:
    """A clock whose sleeps let things happen: `at` a moment, counted in seconds from the beginning."""

    def __init__(self) -> None:
        self.clock = FakeClock(now=0.0)
        self._steps: list[tuple[float, Callable[[], None]]] = []
        self._pulses: list[Pulse] = []

    @contextmanager
    def beating(self, pulse: Pulse) -> Iterator[None]:
        """In place of a thread: the heart is asked whenever somebody sleeps."""
        self._pulses.append(pulse)
        yield
        self._pulses.remove(pulse)

    def at(self, second: float, do: Callable[[], None]) -> None:
        self._steps.append((second, do))

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        assert self.clock.now < 10_000, "it waits for ever"
        due = [step for step in self._steps if step[0] <= self.clock.now]
        self._steps = [step for step in self._steps if step[0] > self.clock.now]
        for _, do in due:
            do()
        for pulse in self._pulses:
            pulse.beat()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    made = tmp_path / RUN_ID
    (made / layout.OUTPUTS).mkdir(parents=True)
    (made / layout.REQUEST).write_bytes(make_request().to_bytes())
    return made


@pytest.fixture
def runner(run_dir: Path) -> Iterator[Runner]:
    made = Runner(run_dir)
    yield made
    made.let_go()
    made.events.close()


@pytest.fixture
def script() -> Script:
    return Script()


def keep_with(run_dir: Path, store: RecordingStore, script: Script, *, deadline: float | None = None) -> bool:
    return keep_run(
        run_dir, store, deadline=deadline, clock=script.clock, sleep=script.sleep, beside=script.beating
    )


def beats(store: RecordingStore) -> int:
    return store.puts().count(layout.status_key(RUN_ID))


def result_in(store: RecordingStore) -> Result:
    content = store.get(layout.run_key(RUN_ID, layout.RESULT))
    assert content is not None
    return Result.model_validate_json(content)


def test_a_run_is_carried_to_its_end_and_its_result_comes_last(
    run_dir: Path, runner: Runner, script: Script
) -> None:
    store = recording_store()
    runner.take_up()
    runner.enter(State.RUNNING)
    script.at(20, runner.finish)
    assert keep_with(run_dir, store, script)
    assert state_of(store, RUN_ID) is State.SUCCEEDED
    last = [key for key in store.puts() if key.startswith(layout.RUNS)][-1]
    assert last == layout.run_key(RUN_ID, layout.RESULT)
    assert store.puts()[-1] == layout.status_key(RUN_ID)


def test_the_heart_beats_every_thirty_seconds(run_dir: Path, runner: Runner, script: Script) -> None:
    store = recording_store()
    runner.take_up()
    runner.enter(State.RUNNING)
    script.at(600, runner.finish)
    keep_with(run_dir, store, script)
    assert 16 <= beats(store) <= 23


def test_a_change_of_state_is_told_at_once(run_dir: Path, runner: Runner, script: Script) -> None:
    store = recording_store()
    seen: list[State | None] = []
    runner.take_up()
    script.at(3, lambda: runner.enter(State.PREPARING))
    script.at(12, lambda: runner.enter(State.RUNNING))
    script.at(11.9, lambda: seen.append(state_of(store, RUN_ID)))
    script.at(20, lambda: seen.append(state_of(store, RUN_ID)))
    script.at(21, runner.finish)
    keep_with(run_dir, store, script)
    assert seen == [State.PREPARING, State.RUNNING]


def test_a_stop_in_the_store_reaches_the_runner(run_dir: Path, runner: Runner, script: Script) -> None:
    store = recording_store()
    runner.take_up()
    script.at(5, lambda: store.put(layout.run_key(RUN_ID, layout.STOP), b'{"by": "ada"}'))
    brought: list[bool] = []
    script.at(15, lambda: brought.append((run_dir / layout.STOP).exists()))
    script.at(16, lambda: runner.finish(State.CANCELLED))
    keep_with(run_dir, store, script)
    assert brought == [True]
    assert (run_dir / layout.STOP).read_bytes() == b'{"by": "ada"}'


def test_a_runner_that_dies_leaves_a_lost_run(run_dir: Path, runner: Runner, script: Script) -> None:
    store = recording_store()
    runner.take_up()
    runner.enter(State.RUNNING)
    (run_dir / layout.OUTPUT).write_bytes(b"as far as it came")
    script.at(30, runner.let_go)
    assert keep_with(run_dir, store, script)
    assert script.clock.now < 40
    assert result_in(store).state is State.LOST
    assert result_in(store).reason is Reason.RUNNER_GONE
    assert state_of(store, RUN_ID) is State.LOST
    assert store.get(layout.run_key(RUN_ID, layout.OUTPUT)) == b"as far as it came"


def test_a_run_that_no_runner_takes_up_never_started(run_dir: Path, script: Script) -> None:
    store = recording_store()
    assert keep_with(run_dir, store, script)
    assert result_in(store).state is State.NEVER_STARTED
    assert keep.TAKE_UP_WITHIN_S <= script.clock.now < keep.TAKE_UP_WITHIN_S + 10


def test_a_store_that_is_down_for_a_while_changes_nothing_in_the_end(
    run_dir: Path, runner: Runner, script: Script
) -> None:
    store = failing_store(20)
    runner.take_up()
    runner.enter(State.RUNNING)
    script.at(300, runner.finish)
    assert keep_with(run_dir, store, script)
    assert state_of(store, RUN_ID) is State.SUCCEEDED
    assert store.get(layout.run_key(RUN_ID, layout.OUTPUT)) == b"the notebook"


def test_a_file_that_the_store_refuses_does_not_stop_the_heart(
    run_dir: Path, runner: Runner, script: Script
) -> None:
    """Its name may be one that no store can hold: the run must not look dead for it."""
    store = failing_store(refuses=("bad",))
    runner.take_up()
    runner.enter(State.RUNNING)
    bad = run_dir / layout.OUTPUTS / "bad"
    bad.touch()
    os.utime(bad, (0, 0))
    script.at(300, bad.unlink)
    script.at(300, runner.finish)
    assert keep_with(run_dir, store, script)
    assert beats(store) >= 8


def test_the_last_save_is_tried_for_a_quarter_of_an_hour(
    run_dir: Path, runner: Runner, script: Script
) -> None:
    store = failing_store(10_000)
    runner.take_up()
    runner.finish()
    assert not keep_with(run_dir, store, script)
    assert keep.LAST_SAVE_WITHIN_S <= script.clock.now <= keep.LAST_SAVE_WITHIN_S + 60


def test_on_a_machine_the_last_save_is_tried_until_the_machine_ends(
    run_dir: Path, runner: Runner, script: Script
) -> None:
    store = failing_store(100_000)
    runner.take_up()
    runner.finish()
    assert not keep_with(run_dir, store, script, deadline=5000)
    assert script.clock.now == 5000


def test_a_store_that_is_down_for_most_of_an_hour_on_a_machine_gets_everything(
    run_dir: Path, runner: Runner, script: Script
) -> None:
    store = failing_store(100)
    runner.take_up()
    runner.finish()
    assert keep_with(run_dir, store, script, deadline=9000)
    assert keep.LAST_SAVE_WITHIN_S < script.clock.now < 9000
    assert state_of(store, RUN_ID) is State.SUCCEEDED


def test_a_run_that_nobody_has_taken_up_stays_what_its_machine_said_of_it(
    run_dir: Path, runner: Runner, script: Script
) -> None:
    store = recording_store()
    put_status(store, RUN_ID, State.PULLING, NOW)
    seen: list[State | None] = []
    script.at(9, lambda: seen.append(state_of(store, RUN_ID)))
    script.at(10, runner.take_up)
    script.at(11, runner.finish)
    keep_with(run_dir, store, script)
    assert seen == [State.PULLING]


def test_the_last_save_comes_through_when_the_store_does(
    run_dir: Path, runner: Runner, script: Script
) -> None:
    store = failing_store(8)
    runner.take_up()
    runner.finish(State.FAILED)
    assert keep_with(run_dir, store, script)
    assert state_of(store, RUN_ID) is State.FAILED


def test_the_last_event_which_follows_the_result_is_carried_too(
    run_dir: Path, runner: Runner, script: Script
) -> None:
    """The keeper waits until the runner has let go of the directory."""
    store = recording_store()
    runner.take_up()
    (run_dir / layout.RESULT).write_bytes(make_result().to_bytes())

    def say_goodbye() -> None:
        runner.events.append(b'{"type": "ended"}\n')
        runner.let_go()

    script.at(0.1, say_goodbye)
    assert keep_with(run_dir, store, script)
    (chunk,) = [key for key in store.puts() if "/events/" in key]
    assert store.get(chunk) == b'{"type": "ended"}\n'


class TestTheStateThatTheEventsTell:
    def test_before_the_first_event_a_run_is_requested(self, run_dir: Path) -> None:
        assert last_state(run_dir) is State.REQUESTED

    def test_the_newest_state_counts(self, run_dir: Path, runner: Runner) -> None:
        runner.enter(State.PREPARING)
        runner.enter(State.RUNNING)
        runner.events.append(b'{"type": "cell_started"}\n')
        assert last_state(run_dir) is State.RUNNING

    @pytest.mark.parametrize("line", [b'{"type": "sta', b"[]\n", b'{"type": "state", "state": "new"}\n'])
    def test_a_line_that_says_nothing_is_passed_over(
        self, run_dir: Path, runner: Runner, line: bytes
    ) -> None:
        runner.enter(State.RUNNING)
        runner.events.append(line)
        assert last_state(run_dir) is State.RUNNING


class TestHowFarALostRunCame:
    def finish_cells(self, runner: Runner, *states: str) -> None:
        runner.events.append(b'{"type": "notebook", "executions": 5}\n')
        for state in states:
            runner.events.append(json.dumps({"type": "cell_finished", "state": state}).encode() + b"\n")

    def test_cells_are_counted_by_how_they_ended(self, run_dir: Path, runner: Runner) -> None:
        self.finish_cells(runner, "executed", "executed", "failed")
        counts = count_cells(run_dir)
        assert counts == CellCounts(code=5, executed=2, failed=1, not_run=2)

    def test_before_its_first_event_nothing_is_known(self, run_dir: Path) -> None:
        assert count_cells(run_dir) == CellCounts()

    @pytest.mark.parametrize(
        "line", [b'{"type": "cell_fin', b"[]\n", b'{"type": "cell_finished"}\n', b"\xff\n"]
    )
    def test_a_line_that_was_cut_off_counts_nothing(self, run_dir: Path, runner: Runner, line: bytes) -> None:
        self.finish_cells(runner, "executed")
        runner.events.append(line)
        assert count_cells(run_dir) == CellCounts(code=5, executed=1, not_run=4)

    def test_the_result_of_a_lost_run_has_the_counts_and_says_them(
        self, run_dir: Path, runner: Runner, script: Script
    ) -> None:
        store = recording_store()
        runner.take_up()
        self.finish_cells(runner, "executed")
        script.at(5, runner.let_go)
        keep_with(run_dir, store, script)
        result = result_in(store)
        assert result.cells == CellCounts(code=5, executed=1, not_run=4)
        assert "1 cell had been executed" in result.message


def test_a_lost_result_is_a_result_like_any_other(run_dir: Path, runner: Runner) -> None:
    runner.take_up()
    write_lost_result(run_dir)
    result = Result.model_validate_json((run_dir / layout.RESULT).read_bytes())
    assert (result.run_id, result.state) == (RUN_ID, State.LOST)
    assert result.started == make_request().created

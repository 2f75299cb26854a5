"""The heart of the keeper: when it beats, and that nothing holds it up."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import IO

from dayfly.keeper.beats import BEAT_S, Pulse, beating
from dayfly.keeper.keep import keep_run
from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.lock import acquire_lock
from dayfly.runs.state import State
from tests.unit.support import (
    RUN_ID,
    FakeClock,
    RecordingStore,
    failing_store,
    make_request,
    make_result,
    recording_store,
    wait_for,
)


def beats(store: RecordingStore) -> int:
    return store.puts().count(layout.status_key(RUN_ID))


def beaten(store: RecordingStore, times: int) -> bool:
    return beats(store) >= times


def test_it_beats_at_a_change_and_every_thirty_seconds() -> None:
    store, clock, states = recording_store(), FakeClock(), [State.PREPARING]
    pulse = Pulse(store, RUN_ID, lambda: states[-1], clock)
    pulse.beat()
    pulse.beat()
    assert beats(store) == 1
    states.append(State.RUNNING)
    pulse.beat()
    assert beats(store) == 2
    clock.now += BEAT_S
    pulse.beat()
    assert beats(store) == 3


def test_a_beat_that_failed_is_tried_at_the_next_look() -> None:
    store = failing_store(1)
    pulse = Pulse(store, RUN_ID, lambda: State.RUNNING, FakeClock())
    pulse.beat()
    pulse.beat()
    assert state_of(store, RUN_ID) is State.RUNNING


def test_it_never_says_that_a_run_has_ended_before_everything_is_there() -> None:
    store = recording_store()
    Pulse(store, RUN_ID, lambda: State.SUCCEEDED, FakeClock()).beat()
    assert beats(store) == 0


def test_after_the_block_nothing_is_on_its_way() -> None:
    store = recording_store()
    with beating(Pulse(store, RUN_ID, lambda: State.RUNNING), look_s=0.001):
        wait_for(lambda: beats(store))
    assert not any(thread.name == "beats" for thread in threading.enumerate())


class SlowStore(RecordingStore):
    """A store in which the executed notebook takes as long as the test wants."""

    def put(self, key: str, data: bytes | Path | IO[bytes]) -> None:
        if key.endswith(layout.OUTPUT):
            assert self.released.wait(30)
        super().put(key, data)

    @property
    def released(self) -> threading.Event:
        return RELEASED


RELEASED = threading.Event()


def test_the_heart_beats_while_an_upload_takes_long(tmp_path: Path) -> None:
    """The notebook is on its way, and beats go on."""
    run_dir = tmp_path / RUN_ID
    (run_dir / layout.EVENTS).mkdir(parents=True)
    (run_dir / layout.REQUEST).write_bytes(make_request().to_bytes())
    (run_dir / layout.OUTPUT).write_bytes(b"large")
    (run_dir / layout.EVENTS / "000000000000.jsonl").write_text('{"type": "state", "state": "running"}\n')
    (run_dir / layout.RESULT).write_bytes(make_result().to_bytes())
    acquire_lock(run_dir)
    memory = recording_store()
    store = SlowStore(objects=memory.objects, url=memory.url)
    clock = FakeClock()

    def sleep(_: float) -> None:
        """The lock is held by this process: the keeper waits for its runner until time is up."""
        clock.now += 1000

    often = functools.partial(beating, look_s=0.001)
    keeper = threading.Thread(
        target=keep_run, args=(run_dir, store), kwargs={"clock": clock, "sleep": sleep, "beside": often}
    )
    keeper.start()
    for number in range(1, 4):
        wait_for(functools.partial(beaten, store, number))
        clock.now += BEAT_S
    RELEASED.set()
    keeper.join(30)
    assert state_of(store, RUN_ID) is State.SUCCEEDED

import json
from typing import Any

import pytest

from dayfly.runs import layout
from dayfly.runs.chunks import chunk_name
from dayfly.runs.follow import EventReader, follow_events
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store, open_store
from tests.unit.support import NOW, RUN_ID, FakeClock, put_run


class Events:
    """The events of a run as its runner appends them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._size = 0

    def append(self, data: bytes) -> None:
        key = layout.run_key(RUN_ID, f"{layout.EVENTS}/{chunk_name(self._size, '.jsonl')}")
        self._store.put(key, data)
        self._size += len(data)

    def event(self, kind: str, **fields: Any) -> None:
        self.append(json.dumps({"type": kind, **fields}).encode() + b"\n")


@pytest.fixture
def store() -> Store:
    made = open_store("memory://")
    put_run(made, state=State.RUNNING)
    return made


@pytest.fixture
def events(store: Store) -> Events:
    return Events(store)


def test_each_event_comes_once(store: Store, events: Events) -> None:
    reader = EventReader(store, RUN_ID)
    events.event("one")
    assert [event["type"] for event in reader.read()] == ["one"]
    events.event("two")
    events.event("three")
    assert [event["type"] for event in reader.read()] == ["two", "three"]
    assert reader.read() == []


def test_a_line_that_is_not_whole_waits_for_its_end(store: Store, events: Events) -> None:
    reader = EventReader(store, RUN_ID)
    events.append(b'{"type": "cell_st')
    assert reader.read() == []
    events.append(b'arted"}\n')
    assert reader.read() == [{"type": "cell_started"}]


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b'{"kind": 1}', b"\xff\xfe"])
def test_a_damaged_line_is_left_out(store: Store, events: Events, line: bytes) -> None:
    """As after a disk that was full."""
    events.append(line + b"\n")
    events.event("two")
    assert EventReader(store, RUN_ID).read() == [{"type": "two"}]


def test_following_ends_with_the_last_event(store: Store, events: Events) -> None:
    events.event("state", state="running")
    clock = FakeClock()

    def wait(seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.slept) == 3:
            events.event("ended", state="succeeded")

    followed = [event["type"] for event in follow_events(store, RUN_ID, wait=wait)]
    assert followed == ["state", "ended"]
    assert len(clock.slept) == 3


def test_following_ends_when_the_runner_is_gone_without_a_word(store: Store, events: Events) -> None:
    events.event("state", state="running")
    clock = FakeClock()

    def wait(seconds: float) -> None:
        clock.sleep(seconds)
        put_status(store, RUN_ID, State.LOST, NOW)

    assert [event["type"] for event in follow_events(store, RUN_ID, wait=wait)] == ["state"]
    assert sum(clock.slept) < 5


def test_events_that_come_with_the_end_are_still_told(store: Store, events: Events) -> None:
    """The status object may be seen before the last events are."""
    clock = FakeClock()
    put_status(store, RUN_ID, State.SUCCEEDED, NOW)
    answers = iter([False, True])

    class Late(Store):
        def list(self, prefix: str, *, after: str | None = None) -> Any:
            if prefix == layout.STATUS and next(answers, False) is False:
                events.event("cell_finished")
            return super().list(prefix, after=after)

    late = Late(objects=store.objects, url=store.url)
    followed = [event["type"] for event in follow_events(late, RUN_ID, wait=clock.sleep)]
    assert followed == ["cell_finished"]


def test_waiting_grows_longer_while_nothing_comes_and_is_short_again_after(
    store: Store, events: Events
) -> None:
    clock = FakeClock()

    def wait(seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.slept) == 20:
            events.event("cell_started")
        if len(clock.slept) == 22:
            events.event("ended")

    list(follow_events(store, RUN_ID, wait=wait))
    assert clock.slept[0] == clock.slept[20] < 0.1
    assert clock.slept[:20] == sorted(clock.slept[:20])
    assert clock.slept[19] == 1.0

"""The loop of a pool: what it begins, and what it lets others do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dayfly.backends.pool_children import Child
from dayfly.backends.pool_loop import Pool
from dayfly.backends.sweep_creation import pool_alive
from dayfly.errors import StoreError
from dayfly.runner.directories import cache_directory
from dayfly.runs import layout
from dayfly.runs.lock import acquire_lock
from dayfly.runs.request import Request
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store, open_store
from dayfly.runs.sweep_states import list_attempts
from tests.unit.backends.test_pool_work import _work
from tests.unit.support import NOW, RUN_ID, recording_store


class Ended:
    """A run that is over at once."""

    def ended(self) -> bool:
        return True

    def interrupt(self) -> None:
        raise AssertionError

    def descriptor(self) -> int | None:
        return None


@dataclass
class AtOnce:
    """Runs that succeed as soon as they are begun. At the first, a pool elsewhere begins `others`."""

    store: Store
    others: tuple[str, ...] = ()
    begun: list[str] = field(default_factory=list)

    def __call__(self, request: Request, content: bytes) -> Child:
        self.begun.append(request.run_id.removeprefix(RUN_ID))
        put_status(self.store, request.run_id, State.SUCCEEDED, NOW)
        while self.others:
            other, *rest = self.others
            self.others = tuple(rest)
            self.store.put(layout.run_key(f"{RUN_ID}{other}", layout.REQUEST), b"theirs")
            put_status(self.store, f"{RUN_ID}{other}", State.SUCCEEDED, NOW)
        return Ended()


@pytest.fixture
def asleep() -> Iterator[int]:
    """What no signal wakes."""
    ours, theirs = os.pipe2(os.O_NONBLOCK)
    yield ours
    os.close(ours)
    os.close(theirs)


def test_what_a_pool_on_another_machine_has_begun_is_left_to_it(asleep: int) -> None:
    store = recording_store()
    start = AtOnce(store, others=(".1",))
    assert Pool(store=store, work=_work(store), content=b"{}", start=start, jobs=1, wake=asleep).run() == 0
    assert start.begun == [".0", ".2"]
    assert store.get(layout.run_key(f"{RUN_ID}.1", layout.REQUEST)) == b"theirs"


def test_what_a_pool_was_killed_over_is_begun(asleep: int) -> None:
    store = recording_store()
    store.put(layout.run_key(f"{RUN_ID}.1", layout.REQUEST), b"{}")
    start = AtOnce(store)
    assert Pool(store=store, work=_work(store), content=b"{}", start=start, jobs=1, wake=asleep).run() == 0
    assert start.begun == [".0", ".1", ".2"]


def test_what_cannot_be_started_does_not_seem_to_go_on(asleep: int) -> None:
    def fail(request: Request, content: bytes) -> Child:
        raise OSError("no processes")

    store = recording_store()
    assert Pool(store=store, work=_work(store), content=b"{}", start=fail, jobs=1, wake=asleep).run() == 0
    attempts = list_attempts(store, RUN_ID, 3)
    assert [attempt.state for attempt in attempts.values()] == [State.NEVER_STARTED] * 3


def test_a_store_that_does_not_say_whether_to_stop_stops_nothing(
    asleep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = recording_store()
    asked: list[str] = []
    get = Store.get

    def refuse(self: Store, key: str) -> bytes | None:
        if key.endswith(layout.STOP):
            asked.append(key)
            raise StoreError("It is not to be reached.")
        return get(self, key)

    monkeypatch.setattr(Store, "get", refuse)
    start = AtOnce(store)
    assert Pool(store=store, work=_work(store), content=b"{}", start=start, jobs=1, wake=asleep).run() == 0
    assert start.begun == [".0", ".1", ".2"]
    assert asked


def test_a_pool_on_this_machine_is_known_of_though_its_store_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = open_store("memory://")
    assert pool_alive(store, RUN_ID) is None
    directory = cache_directory(os.environ) / layout.SWEEPS / RUN_ID
    directory.mkdir(parents=True)
    lock = acquire_lock(directory)
    assert pool_alive(store, RUN_ID) is True
    os.close(lock)
    assert pool_alive(store, RUN_ID) is None

"""Following a run on a machine, whose store is far away: what it hears, and how often it asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dayfly.runs import layout
from dayfly.runs.chunks import ChunkReader
from dayfly.runs.follow import MachineReader, follow_events
from dayfly.runs.state import State
from dayfly.runs.store import Entry, Store, open_store
from tests.unit.machine_runs import STEPS, MachineRun, cell, event, step
from tests.unit.support import RUN_ID, FakeClock


class Counted(Store):
    """A store as far away as S3, which counts what it is asked."""

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[Entry]:
        asked.append(f"list {prefix}")
        return super().list(prefix, after=after)

    def get_range(self, key: str, start: int, end: int) -> bytes:
        asked.append(f"get {key}")
        return super().get_range(key, start, end)


asked: list[str] = []


@pytest.fixture
def store() -> Store:
    asked.clear()
    return Counted(objects=open_store("memory://").objects, url="s3://bucket")


@pytest.fixture
def told(store: Store) -> MachineRun:
    return MachineRun(store=store).create().make()


def follow(store: Store, clock: FakeClock, at: dict[int, Any] | None = None, **options: Any) -> list[str]:
    """What is heard, by type and step; after the nth wait, `at[n]` happens."""

    def wait(seconds: float) -> None:
        clock.sleep(seconds)
        happens = (at or {}).get(len(clock.slept))
        if happens is not None:
            happens()

    events = follow_events(store, RUN_ID, wait=wait, on_machine=True, **options)
    return [event.get("step") or event["type"] for event in events]


def test_the_machine_is_heard_first_then_the_runner(store: Store, told: MachineRun) -> None:
    told.boot()
    heard = follow(
        store,
        FakeClock(),
        {
            3: lambda: told.run(event("state", 95, state="preparing")),
            6: lambda: told.run(*cell(1, 98, 99)),
            9: lambda: told.run(event("ended", 101, state="succeeded")),
        },
    )
    assert heard == [*(name for name, _ in STEPS), "state", "cell_started", "cell_finished", "ended"]


def test_each_step_is_heard_once_as_it_comes(store: Store, told: MachineRun) -> None:
    steps = {n + 1: lambda one=one: told.tell(step(*one)) for n, one in enumerate(STEPS)}
    heard = follow(store, FakeClock(), {**steps, 20: lambda: told.run(event("ended", 101, state="failed"))})
    assert heard == [*(name for name, _ in STEPS), "ended"]


def test_a_runner_is_heard_whose_machine_could_tell_nothing(store: Store, told: MachineRun) -> None:
    """It could not write its stream; the state of the run shows that the runner speaks."""
    told.run(event("state", 95, state="running"), event("ended", 99, state="succeeded"))
    assert follow(store, FakeClock(), {1: lambda: told.enter(State.RUNNING)}) == ["state", "ended"]


def test_a_machine_that_failed_is_followed_until_the_run_is_known_to_have_ended(
    store: Store, told: MachineRun
) -> None:
    failed = {"at": "2026-11-23T10:16:00+00:00", "type": "failed", "step": "docker", "reason": "boot_failed"}
    heard = follow(
        store,
        FakeClock(),
        {2: lambda: told.tell(failed), 9: lambda: told.enter(State.NEVER_STARTED)},
    )
    assert heard == ["docker"]


def test_what_the_machine_says_at_its_end_is_heard_with_the_end(store: Store, told: MachineRun) -> None:
    told.boot()
    heard = follow(store, FakeClock(), {4: lambda: told.tell(step("goodbye", 300)).enter(State.LOST)})
    assert heard[-1] == "goodbye"


def test_a_request_a_second_at_most_from_the_first_step_to_the_end(store: Store, told: MachineRun) -> None:
    """A run of an hour that speaks all the time: each request, for the log too, is paid with a second."""
    clock = FakeClock()
    log = ChunkReader(store, layout.run_key(RUN_ID, layout.LOG))

    def hear() -> int:
        before = log.requests
        log.read(newest=100)
        return log.requests - before

    speaks: dict[int, Any] = {n: lambda n=n: told.run(*cell(n, n, n + 1)) for n in range(10, 600)}
    speaks |= {n + 1: lambda one=one: told.tell(step(*one)) for n, one in enumerate(STEPS)}
    follow(store, clock, {**speaks, 600: lambda: told.run(event("ended", 1, state="failed"))}, hear=hear)
    assert len(asked) > 600
    assert len(asked) <= sum(clock.slept) + 4  # the look at the end is not waited for


def test_while_nothing_happens_it_asks_five_times_less(store: Store, told: MachineRun) -> None:
    """A pull, or a cell, of an hour."""
    clock = FakeClock()
    told.boot()
    ends = {720: lambda: told.run(event("ended", 1, state="failed"))}
    follow(store, clock, ends)
    assert sum(clock.slept) > 3000
    assert len(asked) <= sum(clock.slept) / 3.5
    assert clock.slept[300] == 5.0


def test_a_machines_stream_is_told_apart_from_its_runs(store: Store, told: MachineRun) -> None:
    told.boot(STEPS[:1]).tell({"type": "warning", "message": "The pull is tried again."})
    assert [one["type"] for one in MachineReader(store, RUN_ID).read()] == [
        "machine_step",
        "machine_warning",
    ]


def test_a_run_that_has_ended_without_a_word_is_not_waited_for(store: Store, told: MachineRun) -> None:
    """`dayfly attach` after the end of a run that never started, or was lost."""
    told.enter(State.NEVER_STARTED)
    clock = FakeClock()
    assert (follow(store, clock), clock.slept) == ([], [])

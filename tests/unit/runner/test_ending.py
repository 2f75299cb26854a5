"""How a run is ended before its last cell: interrupt, grace, kill. Kernel and connection are stand-ins."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dayfly.runner.ending import Ending, Intent, read_stop, watch_for_stop
from dayfly.runs.result import Reason
from dayfly.runs.state import State

STOPPED = Intent(state=State.CANCELLED, reason=Reason.STOPPED, message="Stopped.")
LATE = Intent(state=State.TIMED_OUT, reason=Reason.TIMED_OUT, message="Late.")


class Spec:
    interrupt_mode = "signal"


class Kernel:
    """A kernel that notes its signals, and dies of those that it is told to."""

    spec = Spec()

    def __init__(self, *, dies_of: tuple[int, ...] = (signal.SIGKILL,), after: int = 1) -> None:
        self.signals: list[int] = []
        self._dies_of = dies_of
        self._after = after

    def alive(self) -> bool:
        return sum(number in self._dies_of for number in self.signals) < self._after

    def signal_group(self, number: int) -> None:
        self.signals.append(number)


def in_loop(act: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await act()

    asyncio.run(run())


async def patience(look: Callable[[], bool]) -> None:
    for _ in range(2000):
        if look():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited in vain")


def ending_of(kernel: Kernel, *, grace_s: float, ready: bool = True) -> Ending:
    ending = Ending(kernel, grace_s)  # type: ignore[arg-type]
    if ready:
        client: Any = object()
        ending.ready(client)
    return ending


def test_a_kernel_that_heeds_an_interrupt_is_not_killed() -> None:
    kernel = Kernel(dies_of=(signal.SIGINT,))

    async def act() -> None:
        ending = ending_of(kernel, grace_s=20)
        ending.ask(STOPPED)
        await patience(lambda: not kernel.alive())
        await ending.settle()
        assert not ending.killed

    in_loop(act)
    assert kernel.signals == [signal.SIGINT]


def test_an_interrupt_that_was_lost_is_sent_again() -> None:
    """As one that comes just before a cell begins."""
    kernel = Kernel(dies_of=(signal.SIGINT,), after=2)

    async def act() -> None:
        ending = ending_of(kernel, grace_s=0.1)
        ending.ask(STOPPED)
        await patience(lambda: not kernel.alive())
        await ending.settle()

    in_loop(act)
    assert kernel.signals == [signal.SIGINT, signal.SIGINT]


def test_one_that_does_not_is_killed_after_its_grace() -> None:
    kernel = Kernel()

    async def act() -> None:
        ending = ending_of(kernel, grace_s=0.02)
        ending.ask(LATE)
        await patience(lambda: not kernel.alive())
        assert ending.killed

    in_loop(act)
    assert kernel.signals == [signal.SIGINT, signal.SIGINT, signal.SIGKILL]


def test_the_first_to_ask_decides_and_a_second_cuts_the_grace_short() -> None:
    kernel = Kernel()

    async def act() -> None:
        ending = ending_of(kernel, grace_s=60)
        ending.ask(STOPPED)
        await asyncio.sleep(0)
        ending.ask(LATE)
        assert ending.intent == STOPPED
        assert ending.killed
        await ending.settle()

    in_loop(act)
    assert kernel.signals == [signal.SIGINT, signal.SIGKILL]


def test_a_kernel_that_has_not_answered_yet_is_killed_at_once() -> None:
    """There is nothing in it to interrupt, and nothing to save."""
    kernel = Kernel()

    async def act() -> None:
        ending_of(kernel, grace_s=60, ready=False).ask(STOPPED)
        await patience(lambda: not kernel.alive())

    in_loop(act)
    assert kernel.signals == [signal.SIGKILL]


def test_when_the_cells_are_done_nothing_more_is_interrupted() -> None:
    kernel = Kernel()

    async def act() -> None:
        ending = ending_of(kernel, grace_s=60)
        ending.ask(STOPPED)
        await ending.settle()
        assert ending.asked

    in_loop(act)
    assert signal.SIGKILL not in kernel.signals


def test_nothing_is_asked_until_somebody_asks() -> None:
    async def act() -> None:
        ending = ending_of(Kernel(), grace_s=60)
        assert not ending.asked
        await ending.settle()

    in_loop(act)


def test_a_stop_file_stops_once(tmp_path: Path) -> None:
    asked: list[Intent] = []
    (tmp_path / "stop.json").touch()
    in_loop(lambda: watch_for_stop(tmp_path / "stop.json", asked.append))
    assert [one.reason for one in asked] == [Reason.STOPPED]


def test_a_stop_file_that_comes_later_is_seen(tmp_path: Path) -> None:
    asked: list[Intent] = []

    async def act() -> None:
        watch = asyncio.ensure_future(watch_for_stop(tmp_path / "stop.json", asked.append))
        await asyncio.sleep(0)
        assert asked == []
        (tmp_path / "stop.json").touch()
        await watch

    in_loop(act)
    assert [one.state for one in asked] == [State.CANCELLED]


@pytest.mark.parametrize("content", ["", "no json", "[]", "null", '{"by": "ada"}', '{"reason": "of_state"}'])
def test_whatever_else_a_stop_file_says_somebody_has_stopped_the_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "stop.json").write_text(content)
    assert read_stop(tmp_path / "stop.json").state is State.CANCELLED


def test_a_machine_that_is_taken_back_interrupts_the_run_within_a_short_grace(tmp_path: Path) -> None:
    """AWS gives two minutes; a long grace of the run's own must not use them up."""
    (tmp_path / "stop.json").write_text('{"reason": "spot"}')
    intent = read_stop(tmp_path / "stop.json")
    assert (intent.state, intent.reason) == (State.INTERRUPTED, Reason.SPOT)
    assert intent.grace_s is not None
    assert intent.grace_s <= 60

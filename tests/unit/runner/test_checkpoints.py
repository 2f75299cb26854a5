import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.runner import checkpoints
from dayfly.runner.checkpoints import keep_checkpoints, pause_after
from dayfly.runner.notebook_file import NotebookFile, Snapshot
from tests.unit.support import FakeClock, code_cell, make_notebook


@given(st.floats(min_value=0, max_value=1e6))
def test_a_pause_is_ten_times_the_cost_within_bounds(cost_s: float) -> None:
    pause = pause_after(cost_s)
    assert checkpoints.SHORTEST_S <= pause <= checkpoints.LONGEST_S
    assert pause in {cost_s * 10, checkpoints.SHORTEST_S, checkpoints.LONGEST_S}


def test_never_more_than_a_minute_is_lost() -> None:
    assert pause_after(600) == 60


class SlowFile(NotebookFile):
    """A file whose writes take as long as the clock says, and may fail."""

    def __init__(self, folder: Path, clock: FakeClock, costs: list[float | OSError]) -> None:
        super().__init__(folder / "output.ipynb", make_notebook(code_cell()))
        self._clock = clock
        self._costs = costs
        self.written: list[float] = []
        self.taken = 0

    def take(self) -> Snapshot:
        self.taken += 1
        return self.snapshot()

    def write(self, snapshot: Snapshot) -> int:
        cost = self._costs.pop(0)
        if isinstance(cost, OSError):
            raise cost
        self.written.append(self._clock())
        self._clock.now += cost
        return 0


class Checkpoints:
    """Checkpoints in a time of their own: `asyncio.sleep` of the loop is the fake clock's."""

    def __init__(self, folder: Path, *costs: float | OSError) -> None:
        self.clock = FakeClock(now=0.0)
        self.file = SlowFile(folder, self.clock, list(costs))
        self.warnings: list[str] = []
        self.full = 0

    def _disk_full(self) -> None:
        self.full += 1

    def run(self, *, pauses: int, take: Callable[[], Snapshot | None] | None = None) -> list[float]:
        """Let so many pauses go by; returns them."""
        asyncio.run(self._run(pauses, take or self.file.take))
        self.file.close()
        return self.clock.slept

    async def _run(self, pauses: int, take: Callable[[], Snapshot | None]) -> None:
        loop = asyncio.get_running_loop()
        call_later: Any = loop.call_later

        def at_once(delay: float, callback: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
            self.clock.sleep(delay)
            if len(self.clock.slept) > pauses:
                task.cancel()
            return call_later(0, callback, *arguments, **options)

        loop.call_later = at_once  # type: ignore[method-assign, assignment]
        task = asyncio.ensure_future(
            keep_checkpoints(
                self.file, take, self.warnings.append, on_disk_full=self._disk_full, clock=self.clock
            )
        )
        await asyncio.wait({task})


def test_a_quick_disk_is_written_every_second(tmp_path: Path) -> None:
    made = Checkpoints(tmp_path, 0.01, 0.01, 0.01)
    assert made.run(pauses=3)[:3] == [1.0, 1.0, 1.0]
    assert len(made.file.written) == 3


def test_the_pause_follows_what_a_checkpoint_cost(tmp_path: Path) -> None:
    made = Checkpoints(tmp_path, 0.5, 2.0, 0.0)
    slept = made.run(pauses=3)
    assert slept[:4] == pytest.approx([1.0, 5.0, 20.0, 1.0])


def test_a_slow_disk_is_warned_of_and_still_written_every_minute(tmp_path: Path) -> None:
    made = Checkpoints(tmp_path, 30.0, 30.0)
    slept = made.run(pauses=2)
    assert slept[:3] == [1.0, 60.0, 60.0]
    assert "a checkpoint took 30 s" in made.warnings[0]


def test_nothing_is_written_while_nothing_is_new(tmp_path: Path) -> None:
    made = Checkpoints(tmp_path)
    made.run(pauses=10, take=lambda: None)
    assert made.file.written == []


def test_a_write_that_fails_is_tried_again_and_told_once(tmp_path: Path) -> None:
    broken = OSError(errno.EIO, "Input/output error")
    made = Checkpoints(tmp_path, broken, broken, broken, 0.01)
    slept = made.run(pauses=4)
    assert slept[:4] == [1.0, 2.0, 4.0, 8.0]
    assert len(made.file.written) == 1
    assert made.warnings == [
        "A checkpoint could not be written ([Errno 5] Input/output error); trying again."
    ]


def test_after_it_works_again_a_new_failure_is_told_again(tmp_path: Path) -> None:
    broken = OSError(errno.EIO, "Input/output error")
    made = Checkpoints(tmp_path, broken, 0.01, broken, 0.01)
    made.run(pauses=4)
    assert len(made.warnings) == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_is_told_and_no_further_write_is_tried(tmp_path: Path, number: int) -> None:
    made = Checkpoints(tmp_path, OSError(number, "full"))
    made.run(pauses=5)
    assert made.full == 1
    assert made.file.taken == 1

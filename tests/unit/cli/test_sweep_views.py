"""The live picture of a sweep: what gives way where there is little room, and what its clock counts."""

from __future__ import annotations

import io
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console, Group

from dayfly.backends.pool import pool_directory
from dayfly.backends.sweep_creation import pool_began
from dayfly.backends.sweep_view import Sweep
from dayfly.cli.progress import Progress, RunningCell
from dayfly.cli.sweep_views import LiveSweepView, running_points
from dayfly.cli.sweep_watch import Picture
from dayfly.runs import layout
from dayfly.runs.lock import acquire_lock
from dayfly.runs.state import State
from dayfly.runs.store import open_store
from dayfly.runs.sweep import Point
from tests.unit.runs.sweep_stores import SWEEP_ID, put_sweep


def make_picture(parameter: str, *running: Progress) -> Picture:
    """A sweep of which these points are at work, each with this value."""
    store = open_store("memory://")
    put_sweep(store, [Point(parameters={"station": parameter}) for _ in range(12)])
    overview = Sweep(SWEEP_ID, store).look()
    return Picture(overview=overview, running=dict(enumerate(running)), began=time.monotonic())


def in_cell(number: int) -> Progress:
    cell = RunningCell(number=number, source="fit(data, " + "x" * 200, started=datetime.now(UTC))
    return Progress(state=State.RUNNING, executions=10, finished=number - 1, cell=cell)


def lines_of(picture: Picture, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as captured:
        console.print(Group(*running_points(picture, 12, width)))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [50, 80, 110])
def test_how_far_a_point_is_is_never_cut(width: int) -> None:
    lines = lines_of(make_picture("a" * 60, Progress(state=State.PREPARING), in_cell(6)), width)
    assert "starting the kernel" in lines[0]
    assert "cell 6 of 10" in lines[1]
    assert max(map(len, lines)) <= width


def test_that_a_sweep_is_starting_is_never_cut() -> None:
    assert lines_of(make_picture("Mill"), 80) == ["starting"]


def test_the_source_of_the_cell_has_the_room_that_is_left() -> None:
    line = lines_of(make_picture("Mill", in_cell(6)), 110)[0]
    assert "station=Mill" in line
    assert "fit(data, xxxx" in line
    assert line.endswith("…")


def test_the_clock_counts_from_when_the_work_began_not_from_when_somebody_came_to_watch() -> None:
    view = LiveSweepView(SWEEP_ID, datetime.now(UTC) - timedelta(minutes=5))
    console = Console(file=io.StringIO(), width=110)
    with console.capture() as captured:
        console.print(view.draw(make_picture("Mill"), 12, 110))
    assert "0/12  5m" in captured.get()


def test_a_pool_at_work_is_known_to_have_begun_when_it_wrote_its_lock(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    put_sweep(store, [Point()])
    directory = pool_directory(store, SWEEP_ID, {})
    assert pool_began(store, SWEEP_ID) is None
    lock = acquire_lock(directory)
    began = datetime(2026, 11, 23, tzinfo=UTC)
    os.utime(directory / layout.LOCK, (began.timestamp(), began.timestamp()))
    assert pool_began(store, SWEEP_ID) == began
    os.close(lock)
    assert pool_began(store, SWEEP_ID) is None

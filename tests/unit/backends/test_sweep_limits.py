"""How many runs at once may be asked for."""

from __future__ import annotations

import pytest

from dayfly.backends.sweep_limits import Room, check_jobs, find_room
from dayfly.errors import UsageError

MUCH = Room(descriptors=1 << 20, memory_bytes=1 << 45)


@pytest.mark.parametrize("room", [MUCH, Room(descriptors=1024, memory_bytes=1 << 40)])
def test_what_there_is_room_for_is_taken(room: Room) -> None:
    jobs = min(room.by_descriptors, room.by_memory)
    check_jobs(jobs, room)
    with pytest.raises(UsageError, match=f"cannot hold {jobs + 1:,} runs at once"):
        check_jobs(jobs + 1, room)


def test_more_than_the_files_that_may_be_open_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        check_jobs(100_000, Room(descriptors=1024, memory_bytes=1 << 45))
    assert "1,024 files" in caught.value.why
    assert "--jobs 992" in caught.value.hint
    assert "ulimit -n" in caught.value.hint


def test_more_than_the_memory_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        check_jobs(100_000, Room(descriptors=1 << 20, memory_bytes=28_000_000_000))
    assert "28.0 GB are free" in caught.value.why
    assert "--jobs 1000," in caught.value.hint
    assert "ulimit" not in caught.value.hint


def test_one_at_a_time_is_never_refused() -> None:
    check_jobs(1, Room(descriptors=0, memory_bytes=0))


def test_this_machine_has_some_room() -> None:
    check_jobs(1, find_room())
    assert find_room().memory_bytes > 0
    assert find_room().descriptors > 0

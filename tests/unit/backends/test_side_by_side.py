"""Questions that are asked side by side."""

from __future__ import annotations

import threading

import pytest

from dayfly.backends.side_by_side import side_by_side
from dayfly.errors import StoreError


def test_the_answers_come_in_the_order_of_the_questions() -> None:
    assert side_by_side(lambda number: number * 2, range(100)) == [number * 2 for number in range(100)]


def test_no_question_is_no_answer() -> None:
    assert side_by_side(str, []) == []


def test_they_are_asked_at_once() -> None:
    all_there = threading.Barrier(4, timeout=30)
    assert sorted(side_by_side(lambda _: all_there.wait(), range(4), 4)) == [0, 1, 2, 3]


def test_one_at_a_time_is_asked_where_one_stands() -> None:
    here = threading.current_thread()
    assert side_by_side(lambda _: threading.current_thread(), range(3), 1) == [here] * 3


def test_an_error_is_raised_and_what_was_not_begun_is_not() -> None:
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        raise StoreError("The store does not answer.")

    with pytest.raises(StoreError):
        side_by_side(ask, range(100), 2)
    assert len(asked) <= 2


def test_the_threads_keep_no_command_from_ending() -> None:
    assert side_by_side(lambda _: threading.current_thread().daemon, range(3), 2) == [True] * 3

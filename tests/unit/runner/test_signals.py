"""Holding back signals while nobody can act on them."""

from __future__ import annotations

import signal

import pytest

from dayfly.runner.signals import ENDING, hold_signals, release_signals


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_is_held_comes_when_it_is_released(number: signal.Signals) -> None:
    came: list[int] = []
    before = signal.signal(number, lambda number, _: came.append(number))
    try:
        with hold_signals():
            signal.raise_signal(number)
            held = list(came)
            release_signals()
            assert (held, came) == ([], [number])
    finally:
        signal.signal(number, before)


def test_afterwards_nothing_is_held_that_was_not() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with hold_signals():
        assert set(ENDING) <= signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before

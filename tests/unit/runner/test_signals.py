"""Holding back signals while nobody can act on them."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from dayfly.runner.signals import ENDING, defer_signals, hold_signals, release_signals


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


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_another_thread_takes_is_acted_on_at_the_end(number: signal.Signals) -> None:
    came: list[int] = []
    told, sent, over = threading.Event(), threading.Event(), threading.Event()

    def elsewhere() -> None:
        told.wait()
        os.kill(os.getpid(), number)
        sent.set()
        over.wait()  # as long as it lives, it may be given what the main thread blocks

    other = threading.Thread(target=elsewhere)
    before = signal.signal(number, lambda number, _: came.append(number))
    try:
        other.start()
        with defer_signals():
            told.set()
            sent.wait()
            meanwhile = list(came)
        assert (meanwhile, came) == ([], [number])
    finally:
        over.set()
        other.join()
        signal.signal(number, before)


def test_elsewhere_than_in_the_main_thread_nothing_is_deferred() -> None:
    handlers: list[object] = []

    def elsewhere() -> None:
        with defer_signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_all_handlers_are_as_before_when_one_is_called_between() -> None:
    def raises(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    before = {number: signal.signal(number, raises) for number in ENDING}
    try:
        with pytest.raises(KeyboardInterrupt):
            _come_while_deferred()
        assert {signal.getsignal(number) for number in ENDING} == {raises}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _come_while_deferred() -> None:
    with defer_signals():
        for number in ENDING:
            signal.raise_signal(number)

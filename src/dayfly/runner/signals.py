"""The signals that end a run, held back while nobody is ready to act on them.

The operating system keeps a blocked signal, and a process inherits what is blocked. So a runner that
is started with these blocked, and unblocks them when it can end its run, is never killed by a Ctrl-C
that comes while it imports its modules: a run that is interrupted early is still told as interrupted.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Block them; at the end they are as they were before, and those that came are delivered."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Act at the end on those that come meanwhile, in a process that has other threads.

    What this thread blocks, the operating system gives to another one, and Python then acts on it in the
    main thread all the same. Elsewhere than there, nothing comes and nothing is done.
    """
    came: list[int] = []
    before: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if signal.getsignal(number) not in {None, signal.SIG_IGN}:  # None: not of Python's making
                    before[number] = signal.signal(number, lambda taken, _: came.append(taken))
        yield
    finally:
        problem = _restore(before)
        for taken in came:
            signal.raise_signal(taken)
        if problem is not None:
            raise problem


def _restore(handlers: Mapping[signal.Signals, Any]) -> BaseException | None:
    """Set them all, also when a signal comes meanwhile; returns what was raised then."""
    problem: BaseException | None = None
    for number, handler in handlers.items():
        restored = False
        while not restored:
            try:
                signal.signal(number, handler)
                restored = True
            except BaseException as error:  # noqa: BLE001 -- raised by a handler, to be raised again
                problem = error
    return problem


def release_signals() -> None:
    """Take them from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

"""The signals that end a run, held back while nobody is ready to act on them.

The operating system keeps a blocked signal, and a process inherits what is blocked. So a runner that
is started with these blocked, and unblocks them when it can end its run, is never killed by a Ctrl-C
that comes while it imports its modules: a run that is interrupted early is still told as interrupted.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
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
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, lambda taken, _: came.append(taken))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for taken in came:
            signal.raise_signal(taken)


def release_signals() -> None:
    """Take them from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

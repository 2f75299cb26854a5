"""The signals that end a run, held back while nobody is ready to act on them.

The operating system keeps a blocked signal, and a process inherits what is blocked. So a runner that
is started with these blocked, and unblocks them when it can end its run, is never killed by a Ctrl-C
that comes while it imports its modules: a run that is interrupted early is still told as interrupted.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Block them; at the end they are as they were before, and those that came are delivered."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_signals() -> None:
    """Take them from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

"""What a command does that is told to end: as on Ctrl-C, it leaves nothing behind."""

from __future__ import annotations

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_by_signals() -> None:
    """Let being told to end raise KeyboardInterrupt.

    What whoever started the command wants ignored (nohup, a job in the background) stays ignored.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def end_alone_at_hangup() -> None:
    """Let a terminal that closes end this command and nothing that it has begun."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

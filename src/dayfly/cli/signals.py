"""What a command does that is told to end: as on Ctrl-C, it leaves nothing behind."""

from __future__ import annotations

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_by_signals() -> None:
    """Let being told to end raise KeyboardInterrupt; under nohup, it goes on when the terminal is gone."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for number in ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)

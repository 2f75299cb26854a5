"""Starting processes while somebody asks for their end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import pytest

from dayfly.backends.processes import start_processes
from tests.helpers import wait_for

SAYS_HOW_IT_ENDS = """\
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: (print("interrupted"), sys.exit()))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
time.sleep(3600)
"""


class InterruptedWhenRead(Sequence[str]):
    """A command in whose making the key is pressed."""

    def __init__(self, *words: str) -> None:
        self._words = words

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._words[index]

    def __len__(self) -> int:
        return len(self._words)

    def __iter__(self) -> Iterator[str]:
        os.kill(os.getpid(), signal.SIGINT)
        return iter(self._words)


def test_what_is_started_while_its_end_is_asked_for_is_interrupted(tmp_path: Path) -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    command = InterruptedWhenRead(sys.executable, "-c", SAYS_HOW_IT_ENDS)
    with pytest.raises(KeyboardInterrupt):
        start_processes([command], tmp_path, os.environ, log="log", held=True)
    wait_for(lambda: (tmp_path / "log").read_text() == "interrupted\n", "its word")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked


def test_none_is_started_when_one_cannot_be(tmp_path: Path) -> None:
    there = [sys.executable, "-c", SAYS_HOW_IT_ENDS]
    with pytest.raises(FileNotFoundError):
        start_processes([there, [str(tmp_path / "missing")]], tmp_path, os.environ, log="log", held=True)
    wait_for(lambda: (tmp_path / "log").read_text() == "interrupted\n", "its word")

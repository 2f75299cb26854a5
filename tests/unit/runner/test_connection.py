import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from dayfly.runner.connection import _is_stream, exit_description
from dayfly.runner.launch import LaunchedKernel


def message(kind: str, separators: tuple[str, str]) -> list[bytes]:
    """A message as it comes over the wire."""
    header = json.dumps({"msg_id": "1", "msg_type": kind}, separators=separators).encode()
    return [b"topic", b"<IDS|MSG>", b"signature", header, b"{}", b"{}", b"{}"]


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_stream_output_is_known_by_its_header(separators: tuple[str, str]) -> None:
    assert _is_stream(message("stream", separators))


@pytest.mark.parametrize("kind", ["error", "status", "execute_result", "clear_output", "display_data"])
def test_nothing_else_is_taken_for_it(kind: str) -> None:
    """The end of a cell must never be dropped."""
    assert not _is_stream(message(kind, (", ", ": ")))


@pytest.mark.parametrize("frames", [[], [b"<IDS|MSG>"], [b"noise"]])
def test_what_is_no_message_is_left_to_those_who_check(frames: list[bytes]) -> None:
    assert not _is_stream(frames)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("raise SystemExit(3)", "it exited with code 3"),
        ("import os; os.kill(os.getpid(), 9)", "it was killed by SIGKILL"),
        (f"import os; os.kill(os.getpid(), {signal.SIGSEGV})", "it was killed by SIGSEGV"),
    ],
)
def test_how_a_kernel_ended_is_told_in_words(program: str, words: str) -> None:
    spec: Any = None
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        process.wait(timeout=30)
        assert exit_description(LaunchedKernel(spec=spec, process=process, connection={})) == words


def test_one_that_runs_has_not_ended() -> None:
    spec: Any = None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert exit_description(LaunchedKernel(spec=spec, process=process, connection={})) == ""

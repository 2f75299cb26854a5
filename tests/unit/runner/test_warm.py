"""Which kernels can be forked, and what a process that is forked looks like to whoever asked for it."""

from __future__ import annotations

import io
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dayfly.runner.fork_server import LENGTH, Server, accept, take_another
from dayfly.runner.kernelspecs import KernelSpec
from dayfly.runner.warm import Forked, NotWarmError, warm_kernels
from tests.helpers import wait_for


def _spec(*argv: str) -> KernelSpec:
    return KernelSpec(name="one", argv=argv, display_name="One", language="python")


@pytest.mark.parametrize(
    "argv",
    [
        ("bash", "-c", "true"),
        ("python", "-m", "another_kernel", "-f", "{connection_file}"),
        ("python", "script.py", "-m", "ipykernel_launcher"),
        ("python", "-m"),
        (),
    ],
)
def test_a_kernel_that_is_not_ipykernels_cannot_be_forked(argv: tuple[str, ...], tmp_path: Path) -> None:
    with (
        pytest.raises(NotWarmError, match="one"),
        warm_kernels(_spec(*argv), (), directory=tmp_path, environ={}, log=io.BytesIO()),
    ):
        pytest.fail("it was begun")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server in a process of its own, whose children do as they are asked: `exit`, `wait`, or `done`."""
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    theirs, ours = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.dup2(theirs, 0)
            os.close(ours)
            forks = Server(listener)
            request = forks.run()
            if request is not None:
                os.setsid()
                while request is not None and "done" in request:
                    request = take_another(forks.own, request["done"])
                    if request is not None and "leave" not in request:
                        accept(forks.own)
                if request is None:
                    request = {"exit": 0}
                if "wait" in request:
                    signal.pause()
                code = request["exit"]
            else:
                code = 0
        finally:
            os._exit(code)
    listener.close()
    os.close(theirs)
    yield path
    os.close(ours)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _fork(path: str, **request: object) -> Forked:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return Forked(connection, request)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_forked_process_tells_how_it_ended(server: str) -> None:
    processes = [_fork(server, exit=code) for code in (0, 3)]
    assert [process.wait() for process in processes] == [0, 3]
    assert [process.poll() for process in processes] == [0, 3]


def test_a_request_may_be_larger_than_a_socket_takes_at_once(server: str) -> None:
    assert _fork(server, exit=5, much="x" * 3_000_000).wait() == 5


def test_a_killed_process_tells_by_what_and_the_others_go_on(server: str) -> None:
    dies, lives = _fork(server, wait=True), _fork(server, wait=True)
    os.kill(dies.pid, signal.SIGKILL)
    assert dies.wait() == -signal.SIGKILL
    assert lives.poll() is None
    os.kill(lives.pid, signal.SIGTERM)
    assert lives.wait() == -signal.SIGTERM


def test_a_process_ends_with_its_connection(server: str) -> None:
    process = _fork(server, wait=True)
    process._connection.close()
    wait_for(lambda: not _alive(process.pid), "its end")
    assert not _alive(process.pid)


def test_a_process_that_is_done_takes_another_request(server: str) -> None:
    process = _fork(server, done=0)
    first = process.pid
    wait_for(lambda: process.poll() is not None or process.done is not None, "the first")
    assert (process.poll(), process.done) == (None, 0)
    process.ask({"done": 7, "much": "x" * 3_000_000})
    wait_for(lambda: process.poll() is not None or process.done is not None, "the second")
    assert (process.poll(), process.done, process.pid) == (None, 7, first)
    process.ask({"exit": 5})
    assert process.done is None
    assert process.wait() == 5


def test_a_process_that_waits_for_another_request_ends_with_its_connection(server: str) -> None:
    process = _fork(server, done=0)
    wait_for(lambda: process.poll() is not None or process.done is not None, "its word")
    process._connection.close()
    wait_for(lambda: not _alive(process.pid), "its end")
    assert not _alive(process.pid)


@pytest.mark.parametrize("how", ["before it is asked", "when it is asked"])
def test_a_process_that_has_ended_cannot_be_asked_again(server: str, how: str) -> None:
    process = _fork(server, done=0)
    wait_for(lambda: process.poll() is not None or process.done is not None, "its word")
    if how == "before it is asked":
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: process.poll() is not None, "its end")
    with pytest.raises(OSError):  # noqa: PT011 -- whatever the connection says
        process.ask({"exit": 0, "leave": True})
    process.kill()
    wait_for(lambda: not _alive(process.pid), "its end")


def test_a_process_that_stands_still_can_be_killed(server: str) -> None:
    process = _fork(server, done=0)
    wait_for(lambda: process.poll() is not None or process.done is not None, "its word")
    os.kill(process.pid, signal.SIGSTOP)
    process.kill()
    wait_for(lambda: not _alive(process.pid), "its end")
    assert not _alive(process.pid)


def test_what_nobody_waits_for_any_more_is_not_accepted() -> None:
    ours, theirs = socket.socketpair()
    assert accept(theirs)
    ours.close()
    assert not accept(theirs)
    theirs.close()


def test_length_is_four_bytes() -> None:
    assert LENGTH.size == 4

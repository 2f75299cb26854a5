import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dayfly.errors import RunConflictError
from dayfly.runs.layout import LOCK
from dayfly.runs.lock import acquire_lock, lock_holder, runner_alive


def test_who_holds_the_lock_is_alive_and_says_who_it_is(tmp_path: Path) -> None:
    descriptor = acquire_lock(tmp_path)
    try:
        assert runner_alive(tmp_path) is True
        assert lock_holder(tmp_path) == {"host": socket.gethostname(), "pid": os.getpid()}
    finally:
        os.close(descriptor)


def test_a_second_runner_is_refused(tmp_path: Path) -> None:
    descriptor = acquire_lock(tmp_path)
    try:
        with pytest.raises(RunConflictError, match="Another runner is executing"):
            acquire_lock(tmp_path)
        assert lock_holder(tmp_path) == {"host": socket.gethostname(), "pid": os.getpid()}
    finally:
        os.close(descriptor)


def test_a_lock_that_was_let_go_can_be_taken_again(tmp_path: Path) -> None:
    os.close(acquire_lock(tmp_path))
    assert runner_alive(tmp_path) is False
    os.close(acquire_lock(tmp_path))


def test_a_lock_dies_with_its_process_however_that_dies(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from dayfly.runs.lock import acquire_lock\n"
        "acquire_lock(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=30)
    assert done.returncode == -9
    assert lock_holder(tmp_path) is not None
    assert runner_alive(tmp_path) is False


def test_a_reader_that_asks_at_the_wrong_moment_does_not_keep_a_runner_out(tmp_path: Path) -> None:
    """Asking holds a shared lock for an instant."""
    (tmp_path / LOCK).touch()
    reader = os.open(tmp_path / LOCK, os.O_RDONLY)
    fcntl.flock(reader, fcntl.LOCK_SH)
    os.close(reader)
    os.close(acquire_lock(tmp_path))


def test_a_run_that_nobody_took_up_has_no_runner(tmp_path: Path) -> None:
    assert lock_holder(tmp_path) is None
    assert runner_alive(tmp_path) is False


def test_a_runner_of_another_machine_cannot_be_known(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text('{"host": "elsewhere", "pid": 1}')
    assert runner_alive(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_lock_file_that_says_nothing_names_nobody(tmp_path: Path, content: bytes) -> None:
    """As in the instant between taking the lock and writing it."""
    (tmp_path / LOCK).write_bytes(content)
    assert lock_holder(tmp_path) is None
    assert runner_alive(tmp_path) is False


def test_the_lock_is_not_handed_to_children(tmp_path: Path) -> None:
    """A daemon that a notebook leaves behind must not keep its run alive."""
    descriptor = acquire_lock(tmp_path)
    try:
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)

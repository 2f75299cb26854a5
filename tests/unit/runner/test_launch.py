"""Starting a kernel process; the kernels here are small programs that know nothing of Jupyter."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from dayfly.errors import KernelMissingError
from dayfly.runner.kernelspecs import KernelSpec
from dayfly.runner.launch import LaunchedKernel, launch_kernel
from tests.unit.support import wait_for

TELL = """\
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "sid": os.getsid(0)}))
"""


def spec_of(program: str, *arguments: str, **changes: Any) -> KernelSpec:
    argv = (sys.executable, "-c", program, *arguments)
    return KernelSpec(name="small", argv=argv, display_name="Small", language="x", **changes)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IO[bytes]]:
    with (tmp_path / "runner.log").open("ab") as opened:
        yield opened


@contextmanager
def launched(
    spec: KernelSpec, log: IO[bytes], *, cwd: Path | None = None, transport: str = "ipc", **environ: str
) -> Iterator[LaunchedKernel]:
    with launch_kernel(
        spec, cwd=cwd or Path.cwd(), environ={**os.environ, **environ}, transport=transport, log=log
    ) as kernel:
        yield kernel


def told(spec: KernelSpec, log: IO[bytes], **options: Any) -> dict[str, Any]:
    """What a kernel that tells about itself has told."""
    with launched(spec, log, **options) as kernel:
        kernel.process.wait()
    said: dict[str, Any] = json.loads(Path(log.name).read_text())
    return said


def runs(pid: int) -> bool:
    """Whether the process is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


SLEEP = "import time; time.sleep(60)"


class TestTheConnection:
    def test_its_directory_is_the_users_alone(self, log: IO[bytes]) -> None:
        with launched(spec_of(SLEEP), log) as kernel:
            directory = Path(kernel.connection["ip"]).parent
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
            assert stat.S_IMODE((directory / "connection.json").stat().st_mode) == 0o600

    def test_it_goes_over_unix_sockets(self, log: IO[bytes]) -> None:
        with launched(spec_of(SLEEP), log) as kernel:
            assert kernel.connection["transport"] == "ipc"
            assert [kernel.connection[f"{name}_port"] for name in ("shell", "iopub", "hb")] == [1, 2, 5]
            # Linux allows 107 bytes in the name of a socket.
            assert len(os.fsencode(kernel.connection["ip"])) < 100

    def test_a_long_temporary_directory_is_not_used(
        self, log: IO[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("t" * 100)))
        with launched(spec_of(SLEEP), log) as kernel:
            directory = Path(kernel.connection["ip"]).parent
            assert len(os.fsencode(kernel.connection["ip"])) < 100
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700

    def test_the_file_says_what_we_know(self, log: IO[bytes]) -> None:
        with launched(spec_of(SLEEP), log) as kernel:
            file = Path(kernel.connection["ip"]).parent / "connection.json"
            assert json.loads(file.read_text()) == kernel.connection

    def test_each_kernel_has_a_key_of_its_own(self, log: IO[bytes]) -> None:
        with launched(spec_of(SLEEP), log) as one, launched(spec_of(SLEEP), log) as other:
            assert one.connection["key"] != other.connection["key"]
            assert len(one.connection["key"]) == 64

    def test_tcp_is_on_loopback_and_only_when_asked_for(self, log: IO[bytes]) -> None:
        with launched(spec_of(SLEEP), log, transport="tcp") as kernel:
            assert (kernel.connection["transport"], kernel.connection["ip"]) == ("tcp", "127.0.0.1")
            ports = {value for name, value in kernel.connection.items() if name.endswith("_port")}
            assert len(ports) == 5

    def test_nothing_of_it_is_left(self, log: IO[bytes]) -> None:
        with launched(spec_of(SLEEP), log) as kernel:
            directory = Path(kernel.connection["ip"]).parent
        assert not directory.exists()


class TestTheProcess:
    def test_it_is_told_where_its_connection_file_is(self, log: IO[bytes]) -> None:
        said = told(spec_of(TELL, "-f", "{connection_file}", "{resource_dir}"), log)
        assert said["argv"][0] == "-f"
        assert said["argv"][1].endswith("/connection.json")
        assert said["argv"][2] == ""

    def test_it_runs_where_the_run_does(self, log: IO[bytes], tmp_path: Path) -> None:
        assert told(spec_of(TELL), log, cwd=tmp_path)["cwd"] == str(tmp_path)

    def test_the_kernelspecs_variables_are_stronger_than_ours(self, log: IO[bytes]) -> None:
        said = told(spec_of(TELL, env={"COLOUR": "blue"}), log, COLOUR="red", SHAPE="round")
        assert (said["env"]["COLOUR"], said["env"]["SHAPE"]) == ("blue", "round")

    def test_it_knows_its_parent(self, log: IO[bytes]) -> None:
        assert told(spec_of(TELL), log)["env"]["JPY_PARENT_PID"] == str(os.getpid())

    def test_it_has_a_session_of_its_own(self, log: IO[bytes]) -> None:
        """A Ctrl-C in the terminal is for the runner to hear."""
        assert told(spec_of(TELL), log)["sid"] != os.getsid(0)

    def test_what_it_writes_itself_is_logged(self, log: IO[bytes]) -> None:
        with launched(spec_of("import sys; print('out'); print('err', file=sys.stderr)"), log) as kernel:
            kernel.process.wait()
        assert sorted(Path(log.name).read_text().split()) == ["err", "out"]

    def test_nothing_of_it_is_left_when_the_run_breaks_off(self, log: IO[bytes]) -> None:
        with pytest.raises(KeyboardInterrupt), launched(spec_of(SLEEP), log) as kernel:
            raise KeyboardInterrupt
        assert kernel.process.poll() == -signal.SIGKILL
        assert not kernel.alive()

    def test_what_it_started_ends_with_it(self, log: IO[bytes], tmp_path: Path) -> None:
        program = f"""\
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
"""
        with launched(spec_of(program), log) as kernel:
            kernel.process.wait()
            child = int((tmp_path / "child").read_text())
            os.kill(child, 0)
        wait_for(lambda: not runs(child))
        assert not runs(child)

    def test_a_program_that_is_not_there_is_a_missing_kernel(self, log: IO[bytes]) -> None:
        spec = KernelSpec(name="ir", argv=("/none/R", "x"), display_name="R", language="R")
        with pytest.raises(KernelMissingError, match="The kernel 'ir' cannot be started") as caught:
            told(spec, log)
        assert caught.value.why == "/none/R: No such file or directory."

    def test_signalling_one_that_has_ended_is_no_error(self, log: IO[bytes]) -> None:
        with launched(spec_of("pass"), log) as kernel:
            kernel.process.wait()
            kernel.signal_group(signal.SIGINT)
            assert not kernel.alive()

    def test_an_ipython_kernel_keeps_its_history_in_memory(self, log: IO[bytes]) -> None:
        said = told(spec_of(TELL, "ipykernel_launcher"), log)
        assert "--HistoryManager.hist_file=:memory:" in said["argv"]


class InOurGroup:
    """A kernel that was forked a moment ago: it has no process group of its own yet."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", SLEEP])
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self) -> int:
        return self._process.wait()


def test_one_that_has_no_group_of_its_own_yet_is_ended_all_the_same(log: IO[bytes]) -> None:
    kernel = InOurGroup()
    with launch_kernel(
        spec_of(SLEEP),
        cwd=Path.cwd(),
        environ=os.environ,
        transport="ipc",
        log=log,
        start=lambda *_: kernel,
    ):
        assert kernel.poll() is None
    assert kernel.poll() == -signal.SIGKILL

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dayfly.aws.labs import LabServer, shut_down
from dayfly.aws.session import Target
from dayfly.aws.tunnel import Tunnel, check_programs, ssh_command, ssm_command
from dayfly.errors import AwsError, DayflyError, UsageError
from tests.unit.aws.lab_fakes import Asked, serve_lab

FORWARDS = """
import re, socket, sys, threading
here, there = map(int, re.findall(r"127[.]0[.]0[.]1:([0-9]+)", " ".join(sys.argv)))
def carry(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
listening = socket.create_server(("127.0.0.1", here))
while True:
    one, _ = listening.accept()
    other = socket.create_connection(("127.0.0.1", there))
    threading.Thread(target=carry, args=(one, other), daemon=True).start()
    threading.Thread(target=carry, args=(other, one), daemon=True).start()
"""
TARGET = Target(
    machine_id="m", instance_id="i-0abc", region="eu-west-1", address="203.0.113.7", key_name="dayfly-it"
)
TOKEN = "0123456789abcdef"  # noqa: S105 -- of a lab of paper


class Clock:
    """Time that passes by looking at it, so that a deadline is not waited for."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.s = 0.0
        self._step_s = step_s

    def now(self) -> float:
        self.s += self._step_s
        return self.s


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def lab() -> Iterator[tuple[int, Asked]]:
    """A server in JupyterLab's place: its port, and what it was asked."""
    with serve_lab() as served:
        yield served


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Tunnel]]:
    """Makes tunnels that are closed whatever happens."""
    tunnels: list[Tunnel] = []

    def make(command: list[str], port: int, **how: object) -> Tunnel:
        tunnel = Tunnel(
            command,
            port=port,
            log=tmp_path / "log",
            environ=os.environ,
            **how,  # type: ignore[arg-type]
        )
        tunnels.append(tunnel)
        return tunnel

    yield make
    for tunnel in tunnels:
        tunnel.close()


def program(folder: Path, name: str, code: str) -> Path:
    """An executable Python program that is called `name`."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o755)
    return path


def test_a_session_forwards_one_port_and_is_of_the_right_account() -> None:
    command = ssm_command(replace(TARGET, profile="work"), local_port=9999, remote_port=8888)
    assert command == [
        *("aws", "ssm", "start-session", "--region", "eu-west-1", "--profile", "work", "--target", "i-0abc"),
        *("--document-name", "AWS-StartPortForwardingSession"),
        *("--parameters", '{"portNumber": ["8888"], "localPortNumber": ["9999"]}'),
    ]


def test_ssh_forwards_from_loopback_to_loopback_and_runs_nothing(tmp_path: Path) -> None:
    command = ssh_command(
        TARGET, local_port=9999, remote_port=8888, known_hosts=tmp_path / "a folder" / "hosts"
    )
    assert command[:3] == ["ssh", "-N", "-T"]
    assert command[command.index("-L") + 1] == "127.0.0.1:9999:127.0.0.1:8888"
    assert command[-2:] == ["--", "ec2-user@203.0.113.7"]
    assert "ExitOnForwardFailure=yes" in command
    assert "BatchMode=yes" in command
    assert f'UserKnownHostsFile="{tmp_path}/a folder/hosts"' in command
    assert "StrictHostKeyChecking=no" not in command


@pytest.mark.parametrize(
    ("there", "ssh", "words"),
    [
        ((), False, "no aws command"),
        (("aws",), False, "no session-manager-plugin"),
        (("aws", "session-manager-plugin"), True, "no ssh command"),
    ],
)
def test_a_missing_program_is_told_with_where_to_get_it(
    tmp_path: Path, there: tuple[str, ...], ssh: bool, words: str
) -> None:
    for name in there:
        program(tmp_path, name, "")
    with pytest.raises(UsageError, match=words) as caught:
        check_programs(ssh=ssh, path=str(tmp_path))
    assert caught.value.hint


def test_nothing_is_missing_where_the_programs_are(tmp_path: Path) -> None:
    for name in ("aws", "session-manager-plugin", "ssh"):
        program(tmp_path, name, "")
    check_programs(ssh=False, path=str(tmp_path))
    check_programs(ssh=True, path=str(tmp_path))


class TestATunnelOfAProgramThatForwards:
    """With a program in ssh's place that forwards by the same arguments; ssh itself is not proven here."""

    def test_it_reaches_jupyterlab_which_can_be_asked_to_end(
        self,
        tmp_path: Path,
        port: int,
        made: Callable[..., Tunnel],
        lab: tuple[int, Asked],
    ) -> None:
        remote, asked = lab
        ssh = program(tmp_path / "bin", "ssh", FORWARDS)
        command = ssh_command(TARGET, local_port=port, remote_port=remote, known_hosts=tmp_path / "h")
        made([str(ssh), *command[1:]], port).open()
        shut_down(LabServer(token=TOKEN, port=remote), port)
        assert asked == [("/api/shutdown", f"token {TOKEN}")]

    def test_it_is_opened_again_when_it_drops(
        self, tmp_path: Path, port: int, made: Callable[..., Tunnel]
    ) -> None:
        ssh = program(tmp_path / "bin", "ssh", FORWARDS)
        command = ssh_command(TARGET, local_port=port, remote_port=1, known_hosts=tmp_path / "h")
        clock = Clock()
        tunnel = made([str(ssh), *command[1:]], port, now=clock.now)
        tunnel.open()
        process = tunnel._process
        assert process is not None
        assert not tunnel.tend()
        clock.s += 3600
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert tunnel.tend()
        assert tunnel._process is not process

    def test_closing_it_ends_what_the_program_has_started(
        self, tmp_path: Path, port: int, made: Callable[..., Tunnel]
    ) -> None:
        """The AWS CLI starts its plugin, which ignores what the CLI is told."""
        child = program(
            tmp_path / "bin", "plugin", f"import signal\nsignal.signal(15, signal.SIG_IGN)\n{FORWARDS}"
        )
        parent = program(
            tmp_path / "bin",
            "aws",
            f"import subprocess, sys\nsubprocess.run([{str(child)!r}, *sys.argv[1:]])",
        )
        command = ssh_command(TARGET, local_port=port, remote_port=1, known_hosts=tmp_path / "h")
        tunnel = made([str(parent), *command[1:]], port)
        tunnel.open()
        tunnel.close()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def test_a_machine_that_cannot_be_reached_is_told_with_the_programs_words(
    tmp_path: Path, port: int, made: Callable[..., Tunnel]
) -> None:
    ssh = program(tmp_path / "bin", "ssh", "import sys\nsys.exit('Connection refused, says ssh')")
    clock = Clock(step_s=0.5)
    tunnel = made([str(ssh)], port, now=clock.now)

    def sleep(_: float) -> None:
        process = tunnel._process
        assert process is not None
        process.wait()

    tunnel._sleep = sleep
    with pytest.raises(AwsError, match="could not be reached within 20 s") as caught:
        tunnel.open(within_s=20)
    assert "Connection refused, says ssh" in caught.value.why


def test_a_program_that_always_ends_is_begun_again_less_and_less_often(
    tmp_path: Path, port: int, made: Callable[..., Tunnel]
) -> None:
    ssh = program(tmp_path / "bin", "ssh", f"open({str(tmp_path / 'begun')!r}, 'a').write('x')")
    clock = Clock()
    tunnel = made([str(ssh)], port, now=clock.now)
    tunnel._begin()
    for _ in range(120):
        process = tunnel._process
        assert process is not None
        process.wait()
        clock.s += 1
        tunnel.tend()
    tunnel.close()
    assert len((tmp_path / "begun").read_text()) < 10


def test_a_lab_that_does_not_answer_is_told(port: int) -> None:
    with pytest.raises(DayflyError, match="does not answer"):
        shut_down(LabServer(token=TOKEN, port=8888), port)

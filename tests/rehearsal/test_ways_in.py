"""The ways into a machine and out of it: SSH with real programs, and the mirror of the code by Git.

A container's port is open to its computer: what AWS lets through is what the security groups say, and they
are looked at here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from dayfly.runs.run import Run
from tests.helpers import PROGRAMS, wait_for
from tests.rehearsal.rehearsed import PATIENCE_S, Rehearsed
from tests.rehearsal.tasks_bench import HERE, ingress, make_key


def _output(rehearsed: Rehearsed, *arguments: str, code: int = 0) -> str:
    """What a program says that reaches the machine, once its sshd lets us in."""

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments,
            cwd=rehearsed.root,
            env=rehearsed.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def entered() -> subprocess.CompletedProcess[str] | None:
        done = ask()
        return done if done.returncode != 255 else None

    done = wait_for(entered, "a login", within_s=PATIENCE_S)
    assert done is not None
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_machine_is_entered_by_ssh_and_takes_its_commit_from_the_mirror(
    rehearsed: Rehearsed, key: Path
) -> None:
    """By `dayfly ssh` and by OpenSSH with the lines that it prints; nobody else gets in."""
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=rehearsed.root, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert head[:12] in rehearsed.cli("mirror").out
    asked = len(_pulls(rehearsed))

    run = rehearsed.submit("waits", "--ssh", HERE)
    machine = rehearsed.machine(run)
    assert ingress(rehearsed.rehearsal, machine) == [(22, 22, f"{HERE}/32")]

    enter = [str(PROGRAMS / "dayfly"), "ssh", run.run_id, "--identity", str(key), "--"]
    assert _output(rehearsed, *enter, "whoami").strip() == "ec2-user"
    assert _output(rehearsed, *enter, "sh", "-c", "echo 'one  word'; exit 3", code=3) == "one  word\n"
    hostname = rehearsed.rehearsal.around.docker.run(["exec", machine.container, "hostname"])
    assert _output(rehearsed, *enter, "hostname") == hostname

    config = rehearsed.root.parent / "ssh_config"
    config.write_text(rehearsed.cli("ssh", run.run_id, "--config", "--identity", str(key)).out)
    host = f"dayfly-{run.run_id}"
    assert _output(rehearsed, "ssh", "-F", str(config), host, "hostname") == hostname
    local = rehearsed.root.parent / "copied"
    _output(rehearsed, "scp", "-q", "-F", str(config), f"{host}:/etc/hostname", str(local))
    assert local.read_text() == hostname
    _a_stranger_stays_out(rehearsed, machine.address)

    wait_for(lambda: "waiting for a file" in run.log(), "the notebook", within_s=PATIENCE_S)
    _came_from_the_mirror(rehearsed, run, head, asked)
    rehearsed.go(run)
    rehearsed.gone(run)
    assert rehearsed.left(run).state == "succeeded"


def _a_stranger_stays_out(rehearsed: Rehearsed, address: str) -> None:
    """With another key, and with a password."""
    other = make_key(rehearsed.root.parent / "others")
    options = ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"]
    known = ["-o", f"UserKnownHostsFile={os.devnull}"]
    for user in ("ec2-user", "root"):
        done = subprocess.run(
            ["ssh", *options, *known, "-i", str(other), f"{user}@{address}", "true"],
            env=rehearsed.variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 255
        assert "Permission denied" in done.stderr
    shutil.rmtree(other.parent)


def _pulls(rehearsed: Rehearsed) -> list[str]:
    """Who has fetched from the mirror, one ARN a request."""
    requests = rehearsed.rehearsal.around.emulator.requests(service="codecommit", operation="GitPull")
    return [one["caller"] for one in requests if one["status"] == 200]


def _came_from_the_mirror(rehearsed: Rehearsed, run: Run, head: str, asked: int) -> None:
    """The machine has fetched the commit with its own role; the notebook's folder is of that commit."""
    rehearsal = rehearsed.rehearsal
    callers = set(_pulls(rehearsed)[asked:])
    assert len(callers) == 1, callers
    assert f"assumed-role/{rehearsal.base.run_profile}/" in callers.pop()
    container = rehearsed.machine(run).container
    inside = f"docker exec dayfly-{run.run_id} cat /dayfly/project/dayfly.toml"
    there = rehearsal.around.docker.run(["exec", container, "bash", "-c", inside])
    assert there == (rehearsed.root / "dayfly.toml").read_text()
    bare = ["exec", container, "git", "-C", "/var/lib/dayfly/mirror", "rev-parse", "refs/heads/dayfly"]
    assert rehearsal.around.docker.run(bare).strip() == head


def test_no_port_is_open_when_nobody_has_asked_for_it(rehearsed: Rehearsed, key: Path) -> None:
    """The base stack has a key, and the machine has none: sshd lets nobody in."""
    run = rehearsed.submit("waits")
    machine = rehearsed.machine(run)
    assert ingress(rehearsed.rehearsal, machine) == []
    refused = rehearsed.cli("ssh", run.run_id, "--config", "--identity", str(key), code=None)
    assert refused.code != 0
    assert "knows no SSH key" in refused.err
    rehearsed.cli("stop", run.run_id, "--now")
    rehearsed.gone(run)

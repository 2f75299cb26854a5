"""What a run keeps to itself: its connection, its environment, its modules."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dayfly.runs import layout
from dayfly.runs.state import State
from tests.helpers import (
    Place,
    assert_nothing_runs,
    cell_states,
    notebook_processes,
    output_of,
    run_dir_of,
    runner_process,
)

_INODE = re.compile(r"socket:\[(\d+)\]")


def _sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = _INODE.match(str(entry.readlink()))
        except FileNotFoundError:
            continue
        if match:
            found.add(match[1])
    return found


def _network_sockets() -> set[str]:
    """The inodes of all TCP and UDP sockets of this machine."""
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        file = Path("/proc/net") / table
        lines = file.read_text().splitlines()[1:] if file.exists() else []
        found |= {line.split()[9] for line in lines}
    return found


def test_kernel_and_runner_talk_over_unix_sockets_in_a_directory_that_is_the_users_alone(
    place: Place,
) -> None:
    """No port is opened for any channel.

    ipykernel opens one of its own all the same, for the output of processes that it forks: it listens on
    loopback and drops what does not begin with a secret. No setting of it turns that off.
    """
    with place.running("waits", says="waiting for a file") as run:
        (kernel,) = notebook_processes(run)
        assert not _sockets_of(runner_process(run)) & _network_sockets()
        assert len(_sockets_of(kernel) & _network_sockets()) <= 1
        arguments = Path(f"/proc/{kernel}/cmdline").read_text().split("\0")
        directory = Path(arguments[arguments.index("-f") + 1]).parent
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / "connection.json").stat().st_mode & 0o777 == 0o600
        assert len([path for path in directory.iterdir() if path.is_socket()]) == 5
        (place.root / "go").touch()
        assert run.wait(30) is State.SUCCEEDED
        assert_nothing_runs(run)
    assert not directory.exists()


def test_a_kernel_that_knows_no_unix_sockets_is_talked_to_over_tcp_when_asked(place: Place) -> None:
    with place.running("waits", "--kernel-transport", "tcp", says="waiting for a file") as run:
        (kernel,) = notebook_processes(run)
        assert len(_sockets_of(kernel) & _network_sockets()) >= 5
        (place.root / "go").touch()
        assert run.wait(30) is State.SUCCEEDED


def test_a_secret_in_the_environment_is_in_no_file_of_the_run(place: Place) -> None:
    """The notebook sees it; request, events, log, notebook, receipt and result do not."""
    secret = "canary-6d1f0c5e9a"  # noqa: S105 -- the canary
    options = ("--json",)
    notebook = str(place.notebook("looks_for_the_canary"))
    done = place.cli(
        "run", notebook, *options, environ={"SECRET_TOKEN": secret, "AWS_SECRET_ACCESS_KEY": secret}
    )
    run = place.find(place.cli("ps", "--json").json_lines()[0]["run_id"])
    assert cell_states(output_of(run)) == ["executed", "executed"]
    files = [path for path in (place.root / ".dayfly").rglob("*") if path.is_file()]
    assert run_dir_of(run) / layout.RECEIPT in files
    for file in files:
        assert secret.encode() not in file.read_bytes(), file
    shown = place.cli("show", run.run_id, "--json", environ={"SECRET_TOKEN": secret})
    assert secret not in done.out + done.err + shown.out


def test_modules_beside_the_notebook_do_not_stand_in_for_the_runners(place: Place) -> None:
    """The folder has a `dayfly.py` and others that raise; the runner imports none of them."""
    for name in ("dayfly", "nbclient", "pydantic", "obstore", "papermill"):
        (place.root / f"{name}.py").write_text(f"raise SystemExit('the wrong {name} was imported')\n")
    run, _ = place.run("hello")
    assert run.state is State.SUCCEEDED
    for command in ("show", "ps", "verify"):
        place.cli(command)


def test_a_json_module_beside_the_notebook_does_not_break_the_run(place: Place) -> None:
    (place.root / "json.py").write_text("raise SystemExit('the wrong json was imported')\n")
    run, _ = place.run("hello")
    assert run.state is State.SUCCEEDED


def test_the_notebooks_environment_names_the_run_and_its_outputs(place: Place) -> None:
    (place.root / "env.ipynb").write_text(
        place.notebook("no_parameters")
        .read_text()
        .replace("print('nothing to set')", "import os; print(os.environ['DAYFLY_RUN_ID'])")
    )
    run = place.find(place.cli("run", "env.ipynb").run_id)
    assert run.log().rstrip().endswith(run.run_id)
    assert os.environ.get("DAYFLY_RUN_ID") is None

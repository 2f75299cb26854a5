"""Notebooks in the project's image: what a container does differently, and what it must not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nbformat
import pytest

from dayfly.environment.docker import Docker
from dayfly.runs.catalog import list_runs
from dayfly.runs.run import Run
from dayfly.runs.state import State
from tests.engine.projects import commit
from tests.helpers import Place, cell_states, output_of, text_of, wait_for

TELLS = """\
import os, pathlib, sys
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(os.getuid(), int(status["CapEff"], 16), status["NoNewPrivs"])
print(os.getcwd(), sys.prefix)
print(sorted(name for name in os.environ if "AWS" in name or "DOCKER" in name))
home = pathlib.Path.home()
(home / "note").write_text("written")
print((home / "note").read_text())
"""


def notebook(place: Place, name: str, *sources: str) -> None:
    """Write a notebook of these cells and commit it."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    (place.root / f"{name}.ipynb").write_text(nbformat.writes(made))
    commit(place, name)


def run(place: Place, name: str, *options: str, code: int = 0) -> Run:
    return place.find(place.cli("run", f"{name}.ipynb", "--on", "docker", *options, code=code).run_id)


def containers(project: Place, found: Run) -> list[str]:
    listed = Docker(environ=project.environ).run(
        ["ps", "--all", "--quiet", "--filter", f"label=dev.dayfly.run={found.run_id}"]
    )
    return listed.split()


def test_the_outputs_are_those_of_a_run_on_local(project: Place) -> None:
    inside = run(project, "hello", "-p", "name=Ann", "-p", "count=3")
    outside = project.run("hello", "-p", "name=Ann", "-p", "count=3")[0]
    assert [cell.get("outputs") for cell in output_of(inside)["cells"]] == [
        cell.get("outputs") for cell in output_of(outside)["cells"]
    ]
    assert set((inside.receipt or pytest.fail("no receipt")).files) == set(
        (outside.receipt or pytest.fail("no receipt")).files
    )


def test_the_receipt_names_the_image_and_the_commit(project: Place) -> None:
    found = run(project, "hello")
    receipt = found.receipt
    assert receipt is not None
    assert receipt.image is not None
    assert receipt.image == found.request.image
    assert Docker(environ=project.environ).inspect("image", receipt.image.id) is not None
    assert receipt.git is not None
    assert receipt.git.commit == (found.request.snapshot or pytest.fail("no snapshot")).commit
    project.cli("verify", found.run_id)


def test_a_notebook_has_no_privileges_no_credentials_and_a_home(project: Place) -> None:
    notebook(project, "tells", TELLS)
    found = run(project, "tells")
    uid, capabilities, no_new, folder, prefix, credentials, note = text_of(
        output_of(found)["cells"][0]
    ).split()
    assert (int(uid) != 0, capabilities, no_new) == (True, "0", "1")
    assert (folder, prefix) == ("/dayfly/project", "/opt/venv")
    assert (credentials, note) == ("[]", "written")


def test_what_a_run_leaves_belongs_to_the_containers_user(project: Place) -> None:
    found = run(project, "hello")
    user = (found.request.image or pytest.fail("no image")).user
    directory = found.store.path(f"runs/{found.run_id}")
    assert directory is not None
    assert {path.stat().st_uid for path in directory.rglob("*")} == {user.uid}
    assert user.uid == (os.getuid() or 1000)


def test_a_kernel_that_takes_more_memory_than_the_run_may_is_told_so(project: Place) -> None:
    notebook(project, "hungry", "print('first')", "hunger = b'x' * 2_000_000_000", "print('last')")
    found = run(project, "hungry", "--memory", "300MB", code=10)
    result = found.result
    assert result is not None
    assert result.reason == "kernel_died"
    assert "memory limit of 300 MB" in result.message
    assert cell_states(output_of(found)) == ["executed", "failed", "not_run"]


@pytest.mark.fault(9)
def test_docker_stop_interrupts_the_run_and_saves_what_there_is(project: Place) -> None:
    notebook(project, "long", "print('begun')", "print('waiting', flush=True)\nimport time\ntime.sleep(600)")
    done = project.cli("run", "long.ipynb", "--on", "docker", "--detach", "--quiet")
    found = project.find(done.out.strip())
    wait_for(lambda: "waiting" in found.log(), "the second cell")
    stop = ["docker", "stop", f"dayfly-{found.run_id}"]
    subprocess.run(stop, env=dict(project.environ), check=True, capture_output=True, timeout=60)
    assert found.wait(30) is State.INTERRUPTED
    assert cell_states(output_of(found)) == ["executed", "interrupted"]
    wait_for(lambda: not containers(project, found), "the end of both containers")


def test_a_daemon_that_the_notebook_leaves_ends_with_the_container(project: Place) -> None:
    source = "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\nprint('left')"
    notebook(project, "leaves", source)
    found = run(project, "leaves")
    assert found.state is State.SUCCEEDED
    assert containers(project, found) == []


def test_a_container_that_the_engine_does_not_start_ends_the_run_with_the_engines_words(
    project: Place,
) -> None:
    done = project.cli("run", "hello.ipynb", "--on", "docker", "--gpus", "all", code=10)
    assert "device driver" in done.err


def test_a_kernel_that_the_image_lacks_is_told_before_a_run_exists(project: Place) -> None:
    done = project.cli("run", "hello.ipynb", "--on", "docker", "--kernel", "julia-1.10", code=6)
    assert "julia-1.10" in done.err
    assert "python3" in done.err
    assert list_runs(project.store) == []


def test_a_missing_engine_is_told_before_a_run_exists(project: Place, tmp_path: Path) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/nowhere.sock"}
    done = project.cli("run", "hello.ipynb", "--on", "docker", code=7, environ=nowhere)
    assert "cannot be reached" in done.err
    assert "--on local" in done.err
    assert list_runs(project.store) == []


def test_output_goes_where_the_user_asked(project: Place) -> None:
    project.cli("run", "hello.ipynb", "--on", "docker", "-o", "executed.ipynb")
    executed = nbformat.reads((project.root / "executed.ipynb").read_text(), as_version=4)
    assert cell_states(executed) == ["executed"] * 4
    assert (project.root / "executed.ipynb").stat().st_uid == os.getuid()


def test_a_rerun_is_in_the_same_image_and_commit(project: Place) -> None:
    first = run(project, "hello")
    (project.root / "hello.ipynb").unlink()
    again = project.find(project.cli("rerun", first.run_id).run_id)
    assert again.state is State.SUCCEEDED
    assert (again.request.image, again.request.snapshot) == (first.request.image, first.request.snapshot)

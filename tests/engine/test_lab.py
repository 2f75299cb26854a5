"""`dayfly lab`: JupyterLab in the project's image, used in a real browser, and nothing left of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import Page, sync_playwright

from dayfly.backends.lab import LabPlan, lab_name, start_lab
from dayfly.backends.lab_user import LabUser
from dayfly.environment.docker import Docker
from dayfly.environment.facts import ImageFacts, ImagePython, ImageUser
from dayfly.errors import EngineError
from dayfly.project.settings import Settings
from tests.engine.projects import commit
from tests.helpers import PATIENCE_S, Place, output_of, text_of, wait_for

START_S = 400.0
"""An image may have to be built before."""
END_S = 30.0


@pytest.fixture
def scaffolded(place: Place, base_image: str) -> Place:
    """What `dayfly init` makes of an empty folder; its image is built from Debian's packages and PyPI."""
    (place.root / "dayfly.toml").write_text('[image]\nnetwork = "host"\nname = "dayfly-test/lab"\n')
    place.cli("init", "--base", base_image)
    return place


@contextlib.contextmanager
def _lab(place: Place, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`dayfly lab` and the address that it printed."""
    with place.started("lab", "--no-browser", *options) as process:
        try:
            yield process, _address(place, process)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=END_S)


def _address(place: Place, process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    assert line.startswith("http://127.0.0.1:"), process.stderr.read().decode() if process.stderr else ""
    return line


@pytest.fixture
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is missing: scripts/system-packages.sh installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser.new_page(viewport={"width": 1400, "height": 950})
        browser.close()


def _status(url: str, path: str) -> int:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", path)
        with connection.getresponse() as response:
            return response.status


def _container(docker: Docker, place: Place) -> bool:
    return docker.inspect("container", lab_name(place.root)) is not None


def _run_all(page: Page, url: str) -> None:
    """Open the example by its address, run all of its cells, save it, and wait for the plot."""
    page.goto(url.replace("/lab?", "/lab/tree/example.ipynb?"))
    page.get_by_role("heading", name="How long is a day?").wait_for(timeout=180_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for(timeout=180_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(".jp-OutputArea-output img").first.wait_for(timeout=180_000)
    wait_for(lambda: page.get_by_text("[4]:").count(), "the number of the last cell", within_s=180)
    page.keyboard.press("Control+s")


@pytest.mark.timeout(900)
def test_a_notebook_is_run_in_a_browser_and_its_files_are_the_users(
    scaffolded: Place, docker: Docker, page: Page
) -> None:
    with _lab(scaffolded) as (_, url):
        _run_all(page, url)
        picture = page.locator(".jp-OutputArea-output img").first
        assert picture.evaluate("image => image.naturalWidth") > 500
        notebook = scaffolded.root / "example.ipynb"
        saved = wait_for(lambda: '"image/png"' in notebook.read_text(), "the notebook with its plot")
        assert saved
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    kinds = {output.get("name", output["output_type"]) for cell in cells for output in cell["outputs"]}
    assert kinds == {"execute_result", "display_data"}, "warnings, perhaps"
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for file in ("example.ipynb", "outputs/daylight.png", "outputs/daylight.csv"):
        assert (scaffolded.root / file).stat().st_uid == os.getuid(), file
    assert not _container(docker, scaffolded)


@pytest.mark.timeout(900)
def test_a_lab_is_private_and_one_for_each_project(scaffolded: Place, docker: Docker) -> None:
    with _lab(scaffolded) as (process, url):
        assert _status(url, "/api/contents") == 403
        assert _status(url, f"/api/contents?{urlsplit(url).query}") == 200
        facts = docker.inspect("container", lab_name(scaffolded.root))
        assert facts is not None
        host = facts["HostConfig"]
        assert not host["Privileged"]
        assert host["CapDrop"] == ["ALL"]
        assert {binding["HostIp"] for binding in host["PortBindings"]["8888/tcp"]} == {"127.0.0.1"}
        assert [each["Destination"] for each in facts["Mounts"]] == ["/dayfly/project"]

        second = scaffolded.cli("lab", "--no-browser")
        assert second.out.strip() == url
        assert "runs already" in second.err

        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=END_S) == 0
    assert not _container(docker, scaffolded)


@pytest.mark.timeout(900)
def test_a_lab_is_ended_from_another_terminal(scaffolded: Place, docker: Docker) -> None:
    with _lab(scaffolded) as (process, _):
        assert "Ended" in scaffolded.cli("lab", "--stop").err
        assert process.wait(timeout=END_S) == 0
    assert not _container(docker, scaffolded)
    assert "No JupyterLab runs" in scaffolded.cli("lab", "--stop").err


@pytest.mark.timeout(900)
def test_a_project_of_another_user_is_worked_on_as_that_user(scaffolded: Place, docker: Docker) -> None:
    """Root may start it: the files are still those of the project's owner."""
    assert os.geteuid() == 0, "the engine tests run as root"
    for path in [scaffolded.root, *scaffolded.root.rglob("*")]:
        os.chown(path, 1234, 1234)
    Path(scaffolded.root).chmod(0o755)
    with _lab(scaffolded):
        facts = docker.inspect("container", lab_name(scaffolded.root))
        assert facts is not None
        assert facts["Config"]["User"] == "1234:1234"
        name = lab_name(scaffolded.root)
        docker.run(["exec", name, "sh", "-c", "touch made && mkdir -p $HOME/made"])
    assert (scaffolded.root / "made").stat().st_uid == 1234


def test_an_image_without_jupyterlab_says_what_to_add(project: Place) -> None:
    """The project's image has a kernel and nothing more."""
    project.cli("lab", "--stop")
    failed = subprocess.run(
        [*_dayfly(), "lab", "--no-browser"],
        cwd=project.root,
        env=dict(project.environ),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert failed.returncode == 8, failed.stderr
    assert "There is no JupyterLab in the image" in failed.stderr
    assert "requirements.txt" in failed.stderr


def _dayfly() -> list[str]:
    found = shutil.which("dayfly", path=str(Path(sys.executable).parent))
    assert found
    return [found]


@pytest.mark.timeout(900)
def test_kernel_and_packages_of_the_lab_are_those_of_a_run(scaffolded: Place, docker: Docker) -> None:
    freeze = "import sys, subprocess\nprint(subprocess.check_output([sys.executable, '-m', 'pip', 'freeze']))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(freeze)])
    (scaffolded.root / "frozen.ipynb").write_text(nbformat.writes(notebook))
    commit(scaffolded, "everything")
    with _lab(scaffolded):
        in_the_lab = docker.run(["exec", lab_name(scaffolded.root), "python", "-c", freeze])
    run = scaffolded.find(scaffolded.cli("run", "frozen.ipynb", "--on", "docker").run_id)
    assert text_of(output_of(run)["cells"][0]) == in_the_lab
    assert "ipykernel==" in in_the_lab


def test_a_port_that_is_taken_at_the_last_moment_is_no_obstacle_unless_it_was_asked_for(
    base_image: str, docker: Docker, tmp_path: Path
) -> None:
    """As when two labs of two projects start at once: both have found 8888 free."""
    plan = LabPlan(
        root=tmp_path,
        image=base_image,
        facts=ImageFacts(
            user=ImageUser(name="root", uid=0, gid=0, home="/root"),
            python=ImagePython(executable="/usr/bin/python3", prefix="/usr", version="3.11.2"),
            kernels={},
            packages={"jupyterlab": "4.4.0"},
        ),
        settings=Settings(),
        port=0,
        user=LabUser(uid=0, gid=0, home=None),
    )
    with socket.create_server(("127.0.0.1", 0)) as first:
        taken = replace(plan, port=first.getsockname()[1])
        with pytest.raises(EngineError, match="was not started"):
            start_lab(docker, taken)
        assert docker.inspect("container", lab_name(tmp_path)) is None
        lab = start_lab(docker, replace(taken, any_port=True))
    assert lab.port != taken.port
    lab.stop()
    assert docker.inspect("container", lab_name(tmp_path)) is None

"""Three rehearsals in a row, one killed, one ended by Ctrl-C and one by itself, leave nothing behind.

Counted are containers, networks, volumes, processes, temporary files, and what lies in the user's project.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dayfly.environment.docker import Docker
from dayfly.rehearsal.surroundings import IMAGES
from tests.helpers import PROGRAMS, wait_for
from tests.rehearsal.rehearsed import PATIENCE_S, make_user

MARK = "COUNTED_BY_A_TEST"
INTERRUPTED = 130
ENDS_WITHIN_S = 600.0
"""A rehearsal with its image to build, on a computer that has other things to do."""
_OF_OTHERS = re.compile(r"\bdev\.dayfly\.(?:run|lab|batch)=")
"""Of runs, labs and jobs at this engine itself, which other tests have there for as long as we wait: what a
rehearsal runs is at the engine of its machine."""


@dataclass(frozen=True, kw_only=True)
class Counter:
    """A user who rehearses, and all that there is of it."""

    root: Path
    scratch: Path
    docker: Docker
    mark: str
    base: str

    def count(self) -> set[str]:
        """What there is now: kind and name."""
        listings = {
            "network": ("network", "ls", "--format", "{{.Name}}"),
            "volume": ("volume", "ls", "--format", "{{.Name}}"),
        }
        found = {f"{kind} {name}" for kind, how in listings.items() for name in self.docker.run(how).split()}
        labelled = self.docker.run(("ps", "--all", "--format", "{{.Names}}\t{{.Labels}}")).splitlines()
        containers = (line.partition("\t") for line in labelled)
        found |= {f"container {name}" for name, _, labels in containers if not _OF_OTHERS.search(labels)}
        found |= {f"file {path}" for path in self.scratch.rglob("*")}
        found |= {f"file {path}" for path in self.root.rglob("*") if ".git" not in path.parts}
        return (found | self._processes()) - {f"volume {IMAGES}"}

    def _processes(self) -> set[str]:
        """Those that one of our commands has started, and whose name is known: all inherit our mark."""
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (process / "environ").read_bytes():
                    found.add(f"process {process.name} {(process / 'cmdline').read_bytes()!r}")
            except OSError:  # it has ended
                continue
        return found

    @contextmanager
    def rehearsing(self, notebook: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """`dayfly rehearse` while it runs, and the file with what it says."""
        home = self.root.parent / "home"
        reach = {name: value for name, value in self.docker.environ.items() if name.startswith("DOCKER_")}
        said = self.root.parent / f"said-{secrets.token_hex(4)}"
        with (
            said.open("wb") as file,
            subprocess.Popen(
                [str(PROGRAMS / "dayfly"), "rehearse", f"{notebook}.ipynb"],
                cwd=self.root,
                env={
                    **reach,
                    "PATH": os.environ["PATH"],
                    "LANG": "C.UTF-8",
                    "HOME": str(home),
                    "GIT_CONFIG_GLOBAL": os.devnull,
                    "TMPDIR": str(self.scratch),
                    "DAYFLY_MACHINE_BASE": self.base,
                    MARK: self.mark,
                },
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process, said
            finally:
                process.kill()


@pytest.fixture
def counter(docker: Docker, base_image: str, kernel_image: str, tmp_path: Path) -> Counter:
    """A project whose image is made by the first rehearsal; it and the registry's volume stay."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    root = make_user(tmp_path / "user", kernel_image)
    mark = secrets.token_hex(8)
    return Counter(root=root, scratch=scratch, docker=docker, mark=mark, base=base_image)


def end_in_second_cell(counter: Counter, number: signal.Signals) -> tuple[int, str]:
    """Rehearse, and send this to the command in the notebook's second cell: its exit code and words."""
    with counter.rehearsing("waits") as (process, said):

        def begun() -> bool:
            assert process.poll() is None, said.read_text()
            return re.search(r"(?m)^\[1/3\] cell", said.read_text()) is not None

        wait_for(begun, "the end of the first cell", within_s=ENDS_WITHIN_S)
        if number == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)
        return process.wait(ENDS_WITHIN_S), said.read_text()


def expect_as_before(counter: Counter, before: set[str]) -> None:
    """Nothing stays that was not there before. What other tests have at the engine comes and goes."""
    stays = counter.count() - before

    def look() -> bool:
        nonlocal stays
        stays &= counter.count()
        return not stays

    try:
        wait_for(look, "the end of all that was begun", within_s=PATIENCE_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {sorted(stays)}") from error


@pytest.mark.timeout(3 * ENDS_WITHIN_S)
def test_three_rehearsals_in_a_row_leave_nothing_behind(counter: Counter) -> None:
    """What one leaves that is killed, the next removes: here, one that is ended by Ctrl-C."""
    before = counter.count()
    code, said = end_in_second_cell(counter, signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    left = {one.split()[0] for one in counter.count() - before}
    assert {"container", "network", "file"} <= left, "nothing cleans up after kill -9: so much is seen"

    code, said = end_in_second_cell(counter, signal.SIGINT)
    assert code == INTERRUPTED, said
    assert "Traceback" not in said
    expect_as_before(counter, before)

    with counter.rehearsing("hello") as (process, words):
        code = process.wait(ENDS_WITHIN_S)
        said = words.read_text()
    assert code == 0, said
    assert "succeeded" in said
    expect_as_before(counter, before)

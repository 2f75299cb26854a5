"""A rehearsal's folder says whether its rehearsal lives, and who is killed leaves one that is known."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dayfly.rehearsal.place import find_abandoned, make_place, remove_place, write_name

HOLDS = """
import sys
from dayfly.rehearsal.place import make_place, write_name
with make_place() as place:
    write_name(place, "dayfly-rehearsal-1234")
    print(place, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary files of the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_one_that_lives_is_not_abandoned_and_one_that_has_ended_is_gone(scratch: Path) -> None:
    with make_place() as place:
        write_name(place, "dayfly-rehearsal-1234")
        assert find_abandoned() == {}
    assert list(scratch.iterdir()) == []


def test_one_that_was_killed_is_found_by_its_name_and_removed(scratch: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        place = Path(process.stdout.readline().strip())
        assert find_abandoned() == {}
        process.kill()
    assert find_abandoned() == {place: "dayfly-rehearsal-1234"}
    remove_place(place)
    assert list(scratch.iterdir()) == []


def test_a_folder_that_nobody_has_locked_yet_is_left_alone(scratch: Path) -> None:
    """It may be about to be; and others' folders have no lock at all."""
    for name in ("dayfly-rehearsal-begun", "dayfly-rehearsal-other"):
        (scratch / name).mkdir()
    (scratch / "dayfly-rehearsal-begun" / "lock").touch()
    assert find_abandoned() == {}


def test_one_that_was_killed_before_it_had_a_name(scratch: Path) -> None:
    place = scratch / "dayfly-rehearsal-x"
    place.mkdir()
    (place / "lock").write_text("held\n")
    assert find_abandoned() == {place: ""}

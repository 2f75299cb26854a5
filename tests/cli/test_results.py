"""`dayfly results`, as a user meets it."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from dayfly.runs.state import State
from dayfly.runs.sweep import Point
from tests.helpers import Place
from tests.unit.runs.sweep_stores import put_point, put_sweep
from tests.unit.support import put_run

SWEEP = "20261123-101502-fit-7f3a"
OLDER = "20261122-101502-fit-0000"
LATER = "20261124-101502-fit-0000"


@pytest.fixture
def sweep(place: Place) -> str:
    """A sweep of six points: one failed, one open, and an older sweep beside it."""
    put_sweep(place.store, [Point(parameters={"beta": 1})], OLDER)
    made = put_sweep(place.store, [Point(parameters={"alpha": index / 10}) for index in range(6)], SWEEP)
    for index in range(5):
        failed = index == 3
        put_point(
            place.store,
            made,
            index,
            State.FAILED if failed else State.SUCCEEDED,
            records={} if failed else {"rmse": index / 4, "note": "=1+1", "escape": "\x1b[2J!"},
            message="Cell 3 raised ValueError: no" if failed else "Every cell was executed.",
        )
    return SWEEP


def test_failures_come_first(place: Place, sweep: str) -> None:
    done = place.cli("results", sweep)
    lines = done.out.splitlines()
    assert lines[0].split() == ["POINT", "alpha", "rmse", "note", "escape", "STATE", "TOOK"]
    assert [line.split()[0] for line in lines[1:]] == ["3", "0", "1", "2", "4", "5"]
    assert lines[-1].split() == ["5", "0.5", "waiting"]
    assert "\x1b" not in done.out
    assert "6 points: 4 succeeded, 1 failed, 1 waiting" in done.err
    assert "✗ point 3: Cell 3 raised ValueError: no" in done.err


def test_the_last_sweep_is_meant_and_a_beginning_is_enough(place: Place, sweep: str) -> None:
    assert place.cli("results").out == place.cli("results", sweep).out
    assert place.cli("results", "20261122").out.splitlines()[0].split()[1] == "beta"
    both = place.cli("results", "2026112", code=None)
    assert both.code != 0
    assert "begin with '2026112'" in both.err


def test_the_last_sweep_is_meant_also_when_a_run_came_after_it(place: Place, sweep: str) -> None:
    put_run(place.store, LATER)
    assert place.cli("results").out == place.cli("results", sweep).out
    assert place.cli("results", "last.2").out == place.cli("results", f"{sweep}.2").out
    assert LATER in place.cli("show", "last").out
    assert "is a run, not a sweep" in place.cli("results", LATER, code=4).err


def test_a_narrow_terminal_gets_what_fits(place: Place, sweep: str) -> None:
    done = place.cli("results", sweep, environ={"COLUMNS": "48"})
    assert max(len(line) for line in done.out.splitlines()) <= 48
    assert "do not fit here (note, escape)" in done.err or "does not fit here (escape)" in done.err


def test_files_and_stdout(place: Place, sweep: str) -> None:
    done = place.cli("results", sweep, "-o", "table.csv")
    assert done.out == "table.csv\n"
    written = (place.root / "table.csv").read_text()
    assert place.cli("results", sweep, "--csv").out == written
    rows = list(csv.DictReader(io.StringIO(written)))
    assert [row["note"] for row in rows][:1] == ["'=1+1"]
    assert place.cli("results", sweep, "--json").json()["states"] == {
        "succeeded": 4,
        "failed": 1,
        "waiting": 1,
    }
    page = place.cli("results", sweep, "--html").out
    assert page.startswith("<!doctype html>")
    assert "cannot be written" in place.cli("results", sweep, "-o", "no/such/folder.csv", code=2).err


@pytest.mark.parametrize("suffix", ["csv", "json", "html"])
def test_the_name_of_a_file_says_what_it_is_to_hold(place: Place, sweep: str, suffix: str) -> None:
    assert place.cli("results", sweep, "-o", f"table.{suffix}").out == f"table.{suffix}\n"
    asked = place.cli("results", sweep, f"--{suffix}", "-o", "other.txt")
    assert asked.out == "other.txt\n"
    assert (place.root / f"table.{suffix}").read_text() == (place.root / "other.txt").read_text()


def test_what_cannot_be_written_is_refused_before_the_sweep_is_looked_for(place: Place) -> None:
    assert "--csv and --html" in place.cli("results", "no-sweep", "--csv", "--html", code=2).err
    unnamed = place.cli("results", "no-sweep", "-o", "table.txt", code=2).err
    assert "what table.txt is to hold" in unnamed
    assert "--csv, --parquet, --json or --html" in unnamed


@pytest.mark.parametrize(
    ("option", "file"), [("--csv", "z.parquet"), ("--html", "z.CSV"), ("--json", "z.htm")]
)
def test_an_option_and_a_name_that_contradict_each_other_are_refused(
    place: Place, option: str, file: str
) -> None:
    said = place.cli("results", "no-sweep", option, "-o", file, code=2).err
    assert f"{option} is not what a file named {file} holds." in said
    assert not (place.root / file).exists()


@pytest.mark.parametrize("file", ["page.html", "r.CSV", "s.parquet", "s.json"])
def test_a_file_where_the_sweep_is_named_is_told_where_it_belongs(
    place: Place, sweep: str, file: str
) -> None:
    said = place.cli("results", file, code=3).err
    assert f"There is no run '{file}'." in said
    assert f"To write a file: dayfly results SWEEP -o {file}" in said


def test_what_a_file_held_stays_when_the_new_one_cannot_be_written(place: Place, sweep: str) -> None:
    place.cli("results", sweep, "-o", "table.csv")
    held = (place.root / "table.csv").read_bytes()
    program = Path(sys.executable).with_name("dayfly")
    refused = subprocess.run(
        ["bash", "-c", f"ulimit -f 0; trap '' XFSZ; exec {program} results {sweep} -o table.csv"],
        cwd=place.root,
        env=dict(place.environ),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2, refused.stderr.decode()
    assert b"table.csv cannot be written" in refused.stderr
    assert (place.root / "table.csv").read_bytes() == held


def test_a_point_alone(place: Place, sweep: str) -> None:
    done = place.cli("results", f"{sweep}.2")
    assert [line.split()[0] for line in done.out.splitlines()] == ["POINT", "2"]
    assert "1 point: 1 succeeded" in done.err


def test_there_is_nothing_yet(place: Place) -> None:
    done = place.cli("results", code=None)
    assert done.code != 0
    assert "There are no sweeps yet." in done.err


def test_fifty_points_unless_all_are_asked_for(place: Place) -> None:
    made = put_sweep(place.store, [Point(parameters={"n": index}) for index in range(60)], SWEEP)
    for index in range(60):
        put_point(place.store, made, index)
    done = place.cli("results")
    assert len(done.out.splitlines()) == 51
    assert f"The first 50; all of them with: dayfly results {SWEEP} --all" in done.err
    assert len(place.cli("results", "--all").out.splitlines()) == 61

"""Code that is younger than the runs which a sweep takes over."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dayfly.backends.sweep_code import younger_code

THEN = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)


def _write(file: Path, *, later_s: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    written = THEN.timestamp() + later_s
    os.utime(file, (written, written))


@pytest.mark.parametrize("name", ["helper.py", "model/fit.py", "clean.R", "solve.jl"])
def test_code_that_was_written_since_is_found(tmp_path: Path, name: str) -> None:
    _write(tmp_path / name, later_s=1)
    _write(tmp_path / "older.py", later_s=-1)
    assert list(younger_code(tmp_path, THEN)) == [name]


@pytest.mark.parametrize("name", ["out.csv", ".git/hook.py", "__pycache__/a.py", "lib/site-packages/b.py"])
def test_what_runs_write_and_what_was_installed_is_left_out(tmp_path: Path, name: str) -> None:
    _write(tmp_path / name, later_s=1)
    assert list(younger_code(tmp_path, THEN)) == []


def test_an_environment_is_left_out_whatever_its_name(tmp_path: Path) -> None:
    _write(tmp_path / "py311/pyvenv.cfg", later_s=1)
    _write(tmp_path / "py311/bin/activate_this.py", later_s=1)
    assert list(younger_code(tmp_path, THEN)) == []


def test_a_folder_full_of_data_hides_no_code(tmp_path: Path) -> None:
    for number in range(3_000):
        _write(tmp_path / f"data/{number}.csv", later_s=1)
    _write(tmp_path / "src/mine.py", later_s=1)
    assert list(younger_code(tmp_path, THEN)) == ["src/mine.py"]


def test_what_is_deep_among_very_many_folders_is_not_looked_for(tmp_path: Path) -> None:
    for number in range(2_100):
        (tmp_path / f"{number:04}").mkdir()
    _write(tmp_path / "0000/here.py", later_s=1)
    _write(tmp_path / "0000/deep/er.py", later_s=1)
    assert list(younger_code(tmp_path, THEN)) == ["0000/here.py"]


def test_a_folder_that_leads_back_is_not_followed(tmp_path: Path) -> None:
    _write(tmp_path / "src/a.py", later_s=1)
    (tmp_path / "src/up").symlink_to(tmp_path)
    assert list(younger_code(tmp_path, THEN)) == ["src/a.py"]


def test_a_link_that_leads_nowhere_is_no_code(tmp_path: Path) -> None:
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert list(younger_code(tmp_path, THEN)) == []

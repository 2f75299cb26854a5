from __future__ import annotations

from pathlib import Path

import pytest

from dayfly.environment.ignore import parse_dockerignore
from dayfly.environment.selection import select_files


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.py", "data/one.csv", "data/deep/two.csv", "other/one.csv", "[x].txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("a.txt", ["a.txt"]),
        ("/a.txt", ["a.txt"]),
        ("../a.txt", ["a.txt"]),
        ("data/../a.txt", ["a.txt"]),
        ("missing", ["missing"]),
        ("data", ["data", "data/deep", "data/deep/two.csv", "data/one.csv"]),
        ("data/*.csv", ["data/one.csv"]),
        ("*/one.csv", ["data/one.csv", "other/one.csv"]),
        ("?.txt", ["a.txt"]),
        ("[a-b].*", ["a.txt", "b.py"]),
        (r"\[x\].txt", ["[x].txt"]),
        ("em*", ["empty"]),
        ("no*", []),
    ],
)
def test_a_path_names_files(context: Path, path: str, files: list[str]) -> None:
    assert list(select_files(context, [path], parse_dockerignore([]))) == files


def test_what_is_left_out_is_not_named(context: Path) -> None:
    ignored = parse_dockerignore(["data/deep", "*.py"])
    assert list(select_files(context, ["data", "b.py"], ignored)) == ["data", "data/one.csv"]


def test_an_exception_takes_a_file_back_from_a_folder_that_is_left_out(context: Path) -> None:
    ignored = parse_dockerignore(["*", "!data/deep/two.csv"])
    assert list(select_files(context, ["."], ignored)) == ["data/deep/two.csv"]


def test_a_link_that_is_copied_with_its_folder_stays_a_link(context: Path) -> None:
    (context / "data" / "link").symlink_to("../other")
    assert "data/link" in select_files(context, ["data"], parse_dockerignore([]))
    assert "data/link/one.csv" not in select_files(context, ["data"], parse_dockerignore([]))


def test_a_path_through_a_link_is_the_whole_context(context: Path) -> None:
    """The builder follows it, and what it leads to lies anywhere."""
    (context / "link").symlink_to("other")
    everything = select_files(context, ["."], parse_dockerignore([]))
    for path in ("link", "link/one.csv", "li*"):
        assert select_files(context, [path], parse_dockerignore([])) == everything

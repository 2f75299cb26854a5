from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.environment.ignore import parse_dockerignore, read_dockerignore
from dayfly.errors import ImageError


@pytest.mark.parametrize(
    ("lines", "left_out", "taken"),
    [
        (["a"], ["a", "a/b"], ["b/a", "ab"]),
        (["/a/"], ["a", "a/b/c"], ["b"]),
        (["./a"], ["a"], ["b"]),
        (["*.py"], ["x.py"], ["sub/x.py"]),
        (["**/*.py"], ["x.py", "sub/x.py", "a/b/c.py"], ["x.pyc"]),
        (["a/**/z"], ["a/z", "a/b/c/z"], ["a/b"]),
        (["**/sub"], ["sub", "x/sub/y"], ["subs"]),
        (["a/**"], ["a/b", "a/b/c"], ["b"]),
        (["**"], ["a", "a/b"], []),
        (["?"], ["a"], ["ab", "b/a"][:1]),
        (["[ab].txt"], ["a.txt"], ["c.txt"]),
        (["[^ab].txt"], ["c.txt"], ["a.txt"]),
        ([r"\[x\]"], ["[x]"], ["x"]),
        (["a.b"], ["a.b"], ["axb"]),
        (["#a", " #b"], ["#b"], ["#a", "a"]),
        (["  a  ", "", "   "], ["a"], ["b"]),
        (["*", "!a"], ["b", "b/a"], ["a", "a/b"]),
        (["*", "! a"], ["b"], ["a"]),
        (["a", "!a/keep"], ["a/x"], ["a/keep"]),
        (["!a", "a"], ["a"], []),
        (["*.md", "!README*.md", "README-secret.md"], ["x.md", "README-secret.md"], ["README-1.md"]),
        (["*", "!**/*.txt"], ["a.py"], ["sub/a.txt"]),
    ],
)
def test_patterns_mean_what_they_mean_to_the_builder(
    lines: list[str], left_out: list[str], taken: list[str]
) -> None:
    ignored = parse_dockerignore(lines)
    assert [path for path in left_out if path not in ignored] == []
    assert [path for path in taken if path in ignored] == []


def test_where_versions_of_the_builder_differ_the_file_counts() -> None:
    """Docker 20 takes `sub/a` here, later ones do not; neither takes `xa` back in the second."""
    assert "sub/a" not in parse_dockerignore(["!/sub", "**/sub"])
    assert "xa" not in parse_dockerignore(["**a"])
    assert "xa" not in parse_dockerignore(["*", "!**a"])


def test_the_file_of_the_dockerfile_itself_comes_before_the_one_of_the_context(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a")
    dockerfile = tmp_path / "docker" / "Dockerfile"
    assert "a" in read_dockerignore(tmp_path, dockerfile)
    dockerfile.parent.mkdir()
    Path(f"{dockerfile}.dockerignore").write_text("\ufeffb\r\nc\r\n")
    ignored = read_dockerignore(tmp_path, dockerfile)
    assert ("a" in ignored, "b" in ignored, "c" in ignored) == (False, True, True)


def test_without_the_file_nothing_is_left_out(tmp_path: Path) -> None:
    assert "a" not in read_dockerignore(tmp_path, None)


def test_a_pattern_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a[")
    with pytest.raises(ImageError, match="has a pattern that is none"):
        read_dockerignore(tmp_path, None)


@given(st.lists(st.text("ab*?!/.[]^-\\# ", max_size=8), max_size=4), st.text("ab/.", min_size=1))
def test_any_lines_are_rules_or_none(lines: list[str], path: str) -> None:
    with contextlib.suppress(re.error):
        assert isinstance(path in parse_dockerignore(lines), bool)


@given(st.lists(st.sampled_from(["a", "b", "*", "**/a", "!a", "!**/b", "a/b"]), max_size=4))
def test_the_last_line_decides(lines: list[str]) -> None:
    assert "a/b" in parse_dockerignore([*lines, "**"])
    assert "a/b" not in parse_dockerignore([*lines, "!**"])

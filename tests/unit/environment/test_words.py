from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.environment.words import UnknownWordError, expand

VARIABLES = {"A": "one", "EMPTY": "", "a_1": "two"}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("data.csv", "data.csv"),
        ("$A", "one"),
        ("${A}/x", "one/x"),
        ("$A$a_1", "onetwo"),
        ("x${EMPTY}y", "xy"),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY-other}", ""),
        ("${A:+$a_1}", "two"),
        ("${EMPTY:+x}", ""),
        ("${A:-${a_1}}", "one"),
        (r"\$A", "$A"),
        (r"a\ b", "a b"),
        ("'$A'", "$A"),
        ('"$A b"', "one b"),
        (r'"\"\n"', r'"\n'),
        ("a$", "a$"),
    ],
)
def test_a_word_is_expanded_as_by_the_builder(word: str, expected: str) -> None:
    assert expand(word, VARIABLES) == expected


@pytest.mark.parametrize(
    "word", ["$B", "${B}", "${B:-x}", "'a", '"a', '"$B"', "${A", "${A#o}", "${A/o/x}", "${", "${A:-x"]
)
def test_what_only_the_builder_can_know_is_told_apart(word: str) -> None:
    with pytest.raises(UnknownWordError):
        expand(word, VARIABLES)


def test_another_escape_character_leaves_backslashes_alone() -> None:
    assert expand(r"a\b`$A", VARIABLES, "`") == r"a\b$A"


@given(st.text(st.characters(exclude_characters="$\\\"'")))
def test_a_word_without_special_characters_is_itself(word: str) -> None:
    assert expand(word, {}) == word


@given(st.text("aA$\\\"'{}:-+ #/_1"))
def test_any_word_is_expanded_or_unknown(word: str) -> None:
    try:
        expand(word, VARIABLES)
    except UnknownWordError:
        return


@given(st.text())
def test_quoted_text_stays_as_it_is(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    assert expand(f'"{escaped}"', {}) == text

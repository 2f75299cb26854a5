import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.cli.text import format_duration, format_size, format_when, safe_text

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
HARMLESS = {"\t", "\n", "\r"}

pieces = st.sampled_from(
    [
        "\x1b",
        "[",
        "]",
        "\x9b",
        "\x9d",
        "0;",
        "31",
        "m",
        "H",
        "2J",
        "?25l",
        ">4;2m",
        "\x07",
        "\\",
        "P",
        "\x00",
        "\r",
        "a",
        "é",
    ]
)
hostile = st.lists(pieces | st.text(max_size=3), max_size=20).map("".join)


@given(hostile)
def test_no_control_sequence_comes_through(text: str) -> None:
    """Nothing a notebook prints may move the cursor, set the title, or answer for the user."""
    assert not [c for c in safe_text(text) if (c < " " or "\x7f" <= c <= "\x9f") and c not in HARMLESS]


@given(hostile)
def test_with_colours_colours_alone_come_through(text: str) -> None:
    without = re.sub(r"\x1b\[[0-9;:]*m", "", safe_text(text, colours=True))
    assert not [c for c in without if (c < " " or "\x7f" <= c <= "\x9f") and c not in HARMLESS]


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert safe_text(text) == text


@given(hostile)
def test_what_is_safe_stays_as_it_is(text: str) -> None:
    assert safe_text(safe_text(text)) == safe_text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x1b]52;c;c2VjcmV0\x07", ""),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("\x1bcreset", "creset"),
        ("\x9b31mred", "31mred"),
        ("tab\tline\n", "tab\tline\n"),
    ],
)
def test_sequences_go_whole(text: str, shown: str) -> None:
    assert safe_text(text) == shown


def test_colours_are_kept_where_they_are_wanted() -> None:
    assert safe_text("\x1b[1;31mred\x1b[0m\x1b[2J", colours=True) == "\x1b[1;31mred\x1b[0m"


@pytest.mark.parametrize("text", ["\x1b[>4;2m", "\x1b[?4m", "\x1b[ m"])
def test_what_only_looks_like_a_colour_is_none(text: str) -> None:
    """`CSI > 4 ; 2 m` changes what the keyboard sends."""
    assert safe_text(text, colours=True) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (0.42, "0.42 s"),
        (12.34, "12.3 s"),
        (59.96, "1m 00s"),
        (245, "4m 05s"),
        (3600, "1h 00m"),
        (7380, "2h 03m"),
        (48 * 3600, "2d 0h"),
        (76 * 3600, "3d 4h"),
    ],
)
def test_a_duration_is_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (312, "312 B"), (4200, "4.2 kB"), (13_000_000, "13 MB"), (2_500_000_000, "2.5 GB")],
)
def test_a_size_is_short(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=42), "42 s ago"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=30), "30 h ago"),
    ],
)
def test_a_moment_is_told_by_how_long_ago_it_was(ago: timedelta, text: str) -> None:
    assert format_when(NOW - ago, NOW) == text


def test_what_was_long_ago_has_a_date() -> None:
    assert re.fullmatch(r"2026-11-\d\d \d\d:\d\d", format_when(NOW - timedelta(days=3), NOW))


def test_a_moment_ahead_of_our_clock_is_now() -> None:
    assert format_when(NOW + timedelta(seconds=5), NOW) == "just now"

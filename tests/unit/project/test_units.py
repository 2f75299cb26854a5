import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.project.units import LONGEST_S, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("90s", 90),
        ("500ms", 0.5),
        ("10m", 600),
        ("1h30m", 5400),
        (" 1 h 30 m ", 5400),
        ("2H", 7200),
        ("1.5h", 5400),
        ("1d", 86400),
        (91, 91),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "1x",
        "1h30",
        "10 minutes",
        "-5",
        "1h-5m",
        "1,5h",
        "0",
        "0s",
        "366d",
        "inf",
        "nan",
        "1 2s",
        "½h",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be a duration"):
        parse_duration(text)


@pytest.mark.parametrize("value", [True, None, [1], {}, math.inf, math.nan, -1, 0])
def test_nor_are_other_values_durations(value: object) -> None:
    with pytest.raises(ValueError, match="should be a duration"):
        parse_duration(value)


@given(st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_parts_are_added(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@given(st.text())
def test_any_text_is_a_bounded_duration_or_a_value_error(text: str) -> None:
    try:
        assert 0 < parse_duration(text) <= LONGEST_S
    except ValueError as error:
        assert str(error).startswith("should be")  # noqa: PT017 -- either way is right


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500000", 500_000),
        ("100MB", 100_000_000),
        ("100 mb", 100_000_000),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("2GiB", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("1T", 10**12),
        ("10B", 10),
        (4096, 4096),
        (4096.0, 4096),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_size_is_read_as_people_write_it(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "value",
    ["", "MB", "1PB", "-1", "0B", "0.4", "1e6", "1 0", "Infinity", True, None, 0, -5, math.inf, math.nan],
)
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="should be a size"):
        parse_size(value)


@given(st.text() | st.from_regex(r"[0-9]{1,400}(\.[0-9]{1,40})?[KMGTkmgt]?i?B?", fullmatch=True))
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    try:
        assert parse_size(text) > 0
    except ValueError as error:
        assert str(error).startswith("should be")  # noqa: PT017 -- either way is right


@given(st.integers(1, 10**6), st.sampled_from(["", "k", "M", "G", "T"]))
def test_units_go_by_thousands(number: int, unit: str) -> None:
    assert parse_size(f"{number}{unit}B") == number * 1000 ** ["", "k", "M", "G", "T"].index(unit)

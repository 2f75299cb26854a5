"""Values of a grid that no JSON has as they are: dates, decimals, NumPy's, and lists within lists."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dayfly.backends.sweep_points import Drawing, Grid, draw_points, grid_from, grid_from_flags
from dayfly.errors import UsageError
from dayfly.runner.inspection import Parameter, check_parameters


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    known = [Parameter(name="a", type="", default=""), Parameter(name="b", type="float", default="1.0")]
    return check_parameters(given, known, notebook="nb.ipynb", allow_unknown=False)


def points_of(grid: Grid) -> list[dict[str, Any]]:
    return [point.parameters for point in draw_points(grid, Drawing(), check).points]


def refused(grid: Grid) -> UsageError:
    with pytest.raises(UsageError) as caught:
        points_of(grid)
    return caught.value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Decimal("0.5"), 0.5),
        (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
        (datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"),  # noqa: DTZ001
        (date(2026, 1, 2), "2026-01-02"),
        (np.datetime64("2026-01-02", "ns"), "2026-01-02T00:00:00"),
        ([np.int64(1), np.float64(0.5)], [1, 0.5]),
        ({"x": [np.array([1, 2]), date(2026, 1, 2)]}, {"x": [[1, 2], "2026-01-02"]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_what_json_has_wherever_it_stands(value: Any, plain: Any) -> None:
    frame = pd.DataFrame({"a": pd.Series([value], dtype=object)})
    for grid in (frame, [{"a": value}], {"a": [value]}):
        assert points_of(grid_from(grid)) == [{"a": plain}]


def test_a_frame_is_what_its_parquet_is(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [date(2026, 1, 2), None], "b": [Decimal("0.5"), Decimal("2.0")]})
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    assert points_of(grid_from(frame)) == points_of(grid_from_flags([], [tmp_path / "a.parquet"]))


@pytest.mark.parametrize(
    "value", [{1, 2}, b"x", pd.Timedelta(1), [object()]], ids=lambda value: type(value).__name__
)
def test_what_is_no_json_is_told_with_name_and_row(value: Any) -> None:
    error = refused(grid_from([{"a": 1}, {"a": value}]))
    assert error.what == "Row 2 of the grid: The parameter a cannot be written as JSON."


def test_no_date_is_no_number() -> None:
    assert refused(grid_from([{"a": pd.NaT}])).what == "Row 1 of the grid: The parameter a is NaN."


@pytest.mark.parametrize("depth", [150, 3_000, 30_000])
@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.csv"])
def test_lists_within_each_other_without_end_are_refused(tmp_path: Path, name: str, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    file = tmp_path / name
    file.write_text(f"a\n{nested}\n" if name == "a.csv" else f'{{"a": [1, {nested}]}}')
    with pytest.raises(UsageError, match="too many lists or mappings within each other"):
        points_of(grid_from_flags([], [file]))


def test_so_they_are_in_a_flag() -> None:
    with pytest.raises(UsageError, match=r"^-p a has too many lists"):
        grid_from_flags(["a=[1," + "[" * 3_000 + "]" * 3_001])


def test_so_is_a_list_within_itself(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("- a: &a [*a, *a]\n")
    assert refused(grid_from_flags([], [file])).what.startswith(
        f"Row 1 of {file}: The parameter a has too many"
    )


def test_a_number_that_no_float_can_be_is_refused() -> None:
    error = refused(grid_from_flags(["a=1,2", "b=" + "9" * 400]))
    assert error.what == "The value of b is too large for a float."


def test_a_first_line_that_is_empty_is_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("\na,b\n1,2\n")
    with pytest.raises(UsageError, match=r"The first line of .*a\.csv is empty") as caught:
        grid_from_flags([], [file])
    assert "names the parameters" in caught.value.hint

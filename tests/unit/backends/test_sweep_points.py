"""The points of a sweep: what -p may say, product, pairs, sample; equal points are one."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.backends.made_later import MadeLater
from dayfly.backends.sweep_files import read_parquet
from dayfly.backends.sweep_points import Drawing, Grid, draw_points, grid_from, grid_from_flags
from dayfly.backends.sweep_values import MOST_POINTS, parse_values, split_items
from dayfly.errors import MissingExtraError, ParameterError, UsageError
from dayfly.runner.inspection import TypedText

PLAIN = st.text(st.characters(codec="ascii", exclude_characters=",[]{}\"'\\"), min_size=1, max_size=8)


def values_of(text: str) -> Any:
    parsed = parse_values(text, f"-p a={text}")
    return parsed.value if isinstance(parsed, TypedText) else [value.value for value in parsed]


def plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook that takes anything."""
    return {name: value.value if isinstance(value, TypedText) else value for name, value in given.items()}


def points_of(grid: Grid, **drawing: Any) -> list[dict[str, Any]]:
    return [point.parameters for point in draw_points(grid, Drawing(**drawing), plain).points]


def flags(*pairs: str, file: Path | None = None) -> Grid:
    return grid_from_flags(pairs, [] if file is None else [file])


class TestTheValuesOfAParameter:
    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ("1,2,3", [1, 2, 3]),
            ("0.1, 0.5", [0.1, 0.5]),
            ("1..4", [1, 2, 3, 4]),
            ("3..1", [3, 2, 1]),
            ("1..10..3", [1, 4, 7, 10]),
            ("0..1..0.25", [0.0, 0.25, 0.5, 0.75, 1.0]),
            ("-1..1,10", [-1, 0, 1, 10]),
            ("5..5", [5]),
            ("a,b", ["a", "b"]),
            ('["x,y","z"]', ["x,y", "z"]),
            ('"x,y",z', ["x,y", "z"]),
            ("[1,2],[3]", [[1, 2], [3]]),
            ("[[1,2]]", [[1, 2]]),
            ("{a: 1, b: 2},{a: 3}", [{"a": 1, "b": 2}, {"a": 3}]),
            ("it's,b", ["it's", "b"]),
            ("true,null", [True, None]),
            ("2026-01-01,2026-02-01", ["2026-01-01", "2026-02-01"]),
        ],
    )
    def test_several(self, text: str, values: list[Any]) -> None:
        assert values_of(text) == values

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1", 1),
            ("text", "text"),
            ('"1..4"', "1..4"),
            ('"x,y"', "x,y"),
            ("../data", "../data"),
            ("", None),
        ],
    )
    def test_one(self, text: str, value: Any) -> None:
        assert values_of(text) == value

    @pytest.mark.parametrize(
        "text",
        ["1,,2", ",", "1,", "0.1..0.3", "1..5..-1", "1..5..0", "1..9999999,3", "1..9999999999999999", "[1"],
    )
    def test_what_is_neither_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError):
            parse_values(text, "-p a")

    def test_the_text_is_kept_for_parameters_that_are_text(self) -> None:
        parsed = parse_values("1,02,0.5..1..0.5", "-p a")
        assert isinstance(parsed, list)
        assert [value.text for value in parsed] == ["1", "02", "0.5", "1.0"]

    @given(st.lists(PLAIN, min_size=1, max_size=5))
    def test_commas_divide(self, items: list[str]) -> None:
        assert split_items(",".join(items)) == [item.strip() for item in items]

    @given(st.lists(st.text(st.characters(codec="ascii"), max_size=6), min_size=2, max_size=5))
    def test_quotes_keep_anything_together(self, items: list[str]) -> None:
        assert values_of(",".join(json.dumps(item) for item in items)) == items

    @given(st.integers(-(10**6), 10**6), st.integers(0, 300), st.integers(1, 1000))
    def test_a_range_of_whole_numbers_has_both_ends(self, first: int, count: int, step: int) -> None:
        last = first + count * step
        assert values_of(f"{first}..{last}..{step}") == list(range(first, last + 1, step))

    @given(st.integers(-1000, 1000), st.integers(0, 300), st.integers(1, 50), st.integers(1, 4))
    def test_a_range_of_decimals_is_exact(self, first: int, count: int, step: int, digits: int) -> None:
        start, stride = (Decimal(number).scaleb(-digits) for number in (first, step))
        found = values_of(f"{start:f}..{start + count * stride:f}..{stride:f}")
        assert found == [float(start + stride * number) for number in range(count + 1)]


class TestTheGrid:
    def test_is_the_product_the_last_parameter_fastest(self) -> None:
        grid = flags("a=1,2", "b=x,y", "c=5")
        drawn = draw_points(grid, Drawing(), plain)
        assert [point.parameters for point in drawn.points] == [
            {"a": a, "b": b} for a, b in itertools.product([1, 2], ["x", "y"])
        ]
        assert (drawn.shared, drawn.names) == ({"c": 5}, ("a", "b"))

    def test_zip_pairs(self) -> None:
        assert points_of(flags("a=1,2", "b=x,y"), zipped=True) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]

    def test_zip_needs_lists_of_one_length(self) -> None:
        with pytest.raises(UsageError, match="one length") as caught:
            points_of(flags("a=1,2", "b=x,y,z"), zipped=True)
        assert "a 2, b 3" in caught.value.why

    def test_equal_points_are_one(self) -> None:
        drawn = draw_points(flags("a=1,2,1", "b=1..2"), Drawing(), plain)
        assert (len(drawn.points), drawn.asked) == (4, 6)

    def test_one_and_one_point_nought_are_two_points(self) -> None:
        assert len(points_of(flags("a=1,1.0"))) == 2

    @pytest.mark.parametrize("grid", [Grid(), Grid(shared={"a": 1}), Grid(axes={"a": []}), Grid(rows=[])])
    def test_without_points_is_refused(self, grid: Grid) -> None:
        with pytest.raises(UsageError):
            points_of(grid)

    def test_that_is_too_large_is_refused_before_it_is_built(self) -> None:
        pairs = [f"{name}=1..100000" for name in "abcdef"]
        with pytest.raises(UsageError, match="1,000,000,000,000,000,000,000,000,000,000 points") as caught:
            points_of(flags(*pairs))
        assert "--sample" in caught.value.hint

    @pytest.mark.parametrize("value", [math.nan, [1, math.nan], {"x": math.nan}])
    def test_with_nan_is_refused(self, value: Any) -> None:
        with pytest.raises(ParameterError, match="The parameter a is NaN"):
            points_of(Grid(axes={"a": [1, value]}))

    def test_with_what_is_no_json_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="JSON"):
            points_of(Grid(axes={"a": [{1, 2}]}))

    def test_a_parameter_is_given_once(self) -> None:
        with pytest.raises(UsageError, match="a is given twice"):
            flags("a=1,2", "a=3")

    @pytest.mark.parametrize("pair", ["a", "=1", "a b=1", "1=2"])
    def test_a_pair_has_a_name(self, pair: str) -> None:
        with pytest.raises(UsageError, match="is no parameter"):
            flags(pair)

    def test_arrays_are_lists(self) -> None:
        class Array:
            def tolist(self) -> list[float]:
                return [0.1, 0.2]

        assert points_of(grid_from({"a": Array(), "b": range(2), "c": "x"}), zipped=True) == [
            {"a": 0.1, "b": 0},
            {"a": 0.2, "b": 1},
        ]

    def test_what_all_share_is_in_the_grid_or_beside_it(self) -> None:
        assert grid_from({"a": [1, 2]}).sharing({"b": 3}).shared == {"b": 3}
        with pytest.raises(UsageError, match="The parameter a"):
            grid_from({"a": [1, 2]}).sharing({"a": 3})


class TestASample:
    @given(st.integers(1, 60), st.integers(0, 5))
    def test_is_points_of_the_product_without_repetition(self, count: int, seed: int) -> None:
        grid = flags("a=1..10", "b=1..5")
        drawn = points_of(grid, sample=count, seed=seed)
        product = points_of(grid)
        assert len(drawn) == min(count, 50)
        assert [point for point in product if point in drawn] == drawn

    def test_is_the_same_for_the_same_seed(self) -> None:
        grid = flags("a=1..1000", "b=1..1000")
        assert points_of(grid, sample=20) == points_of(grid, sample=20)
        assert points_of(grid, sample=20) != points_of(grid, sample=20, seed=1)

    def test_of_a_grid_that_could_never_be_built(self) -> None:
        pairs = [f"{name}=1..100000" for name in "abcdefgh"]
        assert len(points_of(flags(*pairs), sample=1000)) == 1000

    def test_of_a_range_that_no_sweep_could_have(self) -> None:
        grid = flags("seed=1..5000000")
        drawn = [point["seed"] for point in points_of(grid, sample=50)]
        assert drawn == sorted(set(drawn))
        assert len(drawn) == 50
        assert drawn[0] >= 1
        assert drawn[-1] <= 5_000_000
        assert points_of(grid, sample=50) == [{"seed": seed} for seed in drawn]
        with pytest.raises(UsageError, match="The grid has 5,000,000 points") as caught:
            points_of(grid)
        assert "--sample" in caught.value.hint

    def test_of_long_ranges_is_exact_at_both_ends(self) -> None:
        values = parse_values("0..1..0.0000001", "-p x")
        assert isinstance(values, MadeLater)
        assert (len(values), values[0].value, values[-1].value) == (10_000_001, 0.0, 1.0)
        assert [value.value for value in values[3:5]] == [0.0000003, 0.0000004]

    def test_of_a_long_range_is_checked_where_it_is_drawn(self) -> None:
        def check(given: Mapping[str, Any]) -> dict[str, Any]:
            checked.append(given)
            return {name: value.value * 1.0 for name, value in given.items()}

        checked: list[Any] = []
        drawn = draw_points(flags("a=1..5000000"), Drawing(sample=3), check)
        assert all(isinstance(point.parameters["a"], float) for point in drawn.points)
        assert len(checked) < 10

    @pytest.mark.parametrize(
        ("seed", "numbers"),
        [(0, [(1, 3), (5, 5), (6, 2), (10, 4)]), (1, [(1, 5), (2, 4), (8, 2), (10, 4)])],
    )
    def test_stays_the_same_from_version_to_version(self, seed: int, numbers: list[tuple[int, int]]) -> None:
        """A sweep of a sample goes on as long as the same points are drawn."""
        drawn = points_of(flags("a=1..10", "b=1..5"), sample=4, seed=seed)
        assert [(point["a"], point["b"]) for point in drawn] == numbers

    def test_of_pairs(self) -> None:
        drawn = points_of(flags("a=1..9", "b=1..9"), zipped=True, sample=3)
        assert [point["a"] == point["b"] for point in drawn] == [True] * 3

    @pytest.mark.parametrize("count", [0, -1, MOST_POINTS + 1])
    def test_has_a_size_that_makes_sense(self, count: int) -> None:
        with pytest.raises(UsageError, match="--sample"):
            points_of(flags("a=1,2"), sample=count)


class TestAGridInAFile:
    def test_yaml_rows_times_flags(self, tmp_path: Path) -> None:
        file = tmp_path / "grid.yaml"
        file.write_text("- {a: 1, b: x}\n- {a: 2}\n")
        assert points_of(flags("c=5,6", "d=7", file=file)) == [
            {"a": 1, "b": "x", "c": 5},
            {"a": 1, "b": "x", "c": 6},
            {"a": 2, "c": 5},
            {"a": 2, "c": 6},
        ]

    def test_yaml_axes_and_what_all_share(self, tmp_path: Path) -> None:
        file = tmp_path / "grid.yaml"
        file.write_text("a: [1, 2]\nwhen: 2026-01-01\n")
        grid = flags("b=1,2", file=file)
        assert len(points_of(grid)) == 4
        assert grid.shared == {"when": "2026-01-01"}

    def test_json(self, tmp_path: Path) -> None:
        file = tmp_path / "grid.json"
        file.write_text('[{"a": 1}, {"a": 2}]')
        assert points_of(flags(file=file)) == [{"a": 1}, {"a": 2}]

    def test_csv_means_what_flags_mean_and_an_empty_cell_is_left_to_the_notebook(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "grid.csv"
        file.write_text('\ufeffa, name,c\n1,"x, y",true\n0.5,007,\n\n2,,null\n')
        grid = flags(file=file)
        assert points_of(grid) == [
            {"a": 1, "name": "x, y", "c": True},
            {"a": 0.5, "name": 7},
            {"a": 2, "c": None},
        ]
        assert grid.rows is not None
        assert grid.rows[1]["name"].text == "007"

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("grid.csv", "a,a\n1,2\n", "column a twice"),
            ("grid.csv", "a,b c\n1,2\n", "'b c'"),
            ("grid.csv", "a\n1,2\n", "line 2"),
            ("grid.csv", "a\n", "no rows"),
            ("grid.csv", "", "no rows"),
            ("grid.yaml", "5", "holds no grid"),
            ("grid.yaml", "- 5", "Row 1"),
            ("grid.yaml", "1: [2]", "1 where the name"),
            ("grid.yaml", "a: [", "not valid YAML"),
            ("grid.json", "[", "not valid JSON"),
            ("grid.txt", "a", "no kind that is known"),
        ],
    )
    def test_that_is_wrong_is_told(self, tmp_path: Path, name: str, content: str, said: str) -> None:
        file = tmp_path / name
        file.write_text(content)
        with pytest.raises(UsageError, match=said):
            points_of(flags(file=file))

    def test_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            flags(file=tmp_path / "grid.csv")

    def test_and_a_flag_do_not_both_set_a_parameter(self, tmp_path: Path) -> None:
        file = tmp_path / "grid.csv"
        file.write_text("a\n1\n")
        with pytest.raises(UsageError, match=r"a is given in .*grid\.csv and as -p"):
            flags("a=1", file=file)

    def test_parquet(self, tmp_path: Path) -> None:
        file = tmp_path / "grid.parquet"
        pq.write_table(pa.table({"a": [1, 2], "b": ["x", None]}), file)
        assert points_of(flags(file=file)) == [{"a": 1, "b": "x"}, {"a": 2}]

    def test_parquet_without_pyarrow_says_what_to_install(self, tmp_path: Path) -> None:
        def find(name: str) -> Any:
            raise ImportError(name)

        with pytest.raises(MissingExtraError, match="pyarrow"):
            read_parquet(tmp_path / "grid.parquet", find)


@pytest.mark.parametrize(
    "text", ["0..1e999999..1", "0..1e999999999999..1", "1e400..1e400..1", "1..2..1e-400"]
)
def test_a_range_of_numbers_that_nothing_could_hold_is_refused_at_once(text: str) -> None:
    with pytest.raises(UsageError, match="too large, or too small"):
        parse_values(text, "-p x")


def test_a_range_of_pythons_that_is_too_long_to_be_made_can_be_drawn_from() -> None:
    drawn = points_of(grid_from({"a": range(10**12), "b": 1}), sample=3)
    assert len({point["a"] for point in drawn}) == 3


def test_a_range_of_pythons_that_is_too_long_is_refused_before_it_is_made() -> None:
    with pytest.raises(UsageError):
        points_of(grid_from({"a": range(10**12)}))

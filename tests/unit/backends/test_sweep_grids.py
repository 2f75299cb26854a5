"""Grids from files and from Python, against a notebook that declares types: what counts, and what is told."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dayfly.backends.sweep_points import Drawing, Grid, draw_points, grid_from, grid_from_flags
from dayfly.backends.sweep_values import parse_values
from dayfly.errors import ParameterError, UsageError
from dayfly.runner.inspection import Parameter, check_parameters

KNOWN = [
    Parameter(name="seed", type="int", default="1", declared=True),
    Parameter(name="alpha", type="float", default="0.5", declared=True),
    Parameter(name="name", type="str", default="''", declared=True),
    Parameter(name="depth", type="int", default="1"),
]


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    return check_parameters(given, KNOWN, notebook="nb.ipynb", allow_unknown=False)


def points_of(grid: Grid) -> list[dict[str, Any]]:
    return [point.parameters for point in draw_points(grid, Drawing(), check).points]


def refused(make: Callable[[], Grid]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        points_of(make())
    return caught.value


Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def write_frame(folder: Path, kind: str, frame: pd.DataFrame) -> Path:
    """A frame as a user of pandas keeps it."""
    file = folder / f"grid.{kind}"
    if kind == "csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file, index=False)
    return file


class TestSeveralFiles:
    def test_are_the_rows_of_one_after_those_of_another(self, write: Write) -> None:
        first, second = write("a.csv", "seed\n1\n2\n"), write("b.yaml", "- {seed: 3, name: x}\n")
        assert points_of(grid_from_flags(["alpha=1"], [first, second])) == [
            {"seed": 1},
            {"seed": 2},
            {"seed": 3, "name": "x"},
        ]

    def test_are_all_checked_and_the_wrong_one_is_named(self, write: Write) -> None:
        first, second = write("a.csv", "seed\n1\nx\n"), write("b.csv", "seed\n1\n")
        error = refused(lambda: grid_from_flags([], [first, second]))
        assert error.what == f"{first}, line 3: seed='x' is not of type int."

    @pytest.mark.parametrize("other", ["- seed: 3\n", "name: [x, y]\n"])
    def test_of_which_one_is_a_product_are_refused(self, write: Write, other: str) -> None:
        product, beside = write("a.yaml", "seed: [1, 2]\n"), write("b.yaml", other)
        for files in ([product, beside], [beside, product]):
            assert "cannot go with another file" in refused(partial(grid_from_flags, [], files)).what

    def test_and_a_flag_do_not_both_set_a_parameter(self, write: Write) -> None:
        first, second = write("a.csv", "seed\n1\n"), write("b.csv", "alpha\n1\n")
        error = refused(lambda: grid_from_flags(["alpha=3"], [first, second]))
        assert error.what == f"The parameter alpha is given in {first}, {second} and as -p."


class TestLinesOfCsv:
    @pytest.mark.parametrize("content", ['name\na\n"x\ny\nz\n', 'name\na\n"x"y\n'])
    def test_with_a_quote_that_does_not_end_are_refused(self, write: Write, content: str) -> None:
        error = refused(lambda: grid_from_flags([], [write("a.csv", content)]))
        assert error.what.endswith("a.csv, line 3, is not valid CSV.")
        assert "ends with one" in error.hint

    @pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
    def test_end_at_no_other_character_than_those_of_csv(self, write: Write, character: str) -> None:
        file = write("a.csv", f"name,seed\na{character}b,1\n")
        assert grid_from_flags([], [file]).places == [f"{file}, line 2"]

    def test_with_a_character_that_yaml_does_not_know_are_refused_as_one(self, write: Write) -> None:
        error = refused(lambda: grid_from_flags([], [write("a.csv", "name\na\x0bb\n")]))
        assert "a.csv, line 2 is not valid YAML" in error.what

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_end_as_on_any_system(self, tmp_path: Path, end: str) -> None:
        file = tmp_path / "a.csv"
        file.write_bytes(f"seed{end}1{end}2{end}".encode())
        assert points_of(grid_from_flags([], [file])) == [{"seed": 1}, {"seed": 2}]

    def test_are_counted_where_a_row_begins(self, write: Write) -> None:
        file = write("a.csv", 'name,seed\n"x\ny",1\n\n"x\ny",z\n')
        error = refused(lambda: grid_from_flags([], [file]))
        assert error.what == f"{file}, line 5: seed='z' is not of type int."

    @pytest.mark.parametrize("content", ["name,seed\nx,1\n,\n", 'name\nx\n""\n'])
    def test_with_empty_cells_only_are_a_point_that_leaves_all_to_the_notebook(
        self, write: Write, content: str
    ) -> None:
        assert points_of(grid_from_flags([], [write("a.csv", content)]))[1:] == [{}]

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_with_empty_cells_only_are_what_they_are_in_a_frame(self, tmp_path: Path, kind: str) -> None:
        frame = pd.DataFrame({"alpha": [0.5, None]})
        assert points_of(grid_from_flags([], [write_frame(tmp_path, kind, frame)])) == points_of(
            grid_from(frame)
        )

    @pytest.mark.parametrize("content", ["seed\n1\n\n2\n", "seed,name\n1,\n  \n2,\n"])
    def test_that_are_blank_are_none(self, write: Write, content: str) -> None:
        assert points_of(grid_from_flags([], [write("a.csv", content)])) == [{"seed": 1}, {"seed": 2}]


class TestANameThatIsThereTwice:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.yaml", "seed: [1, 2]\nname: x\nseed: [3]\n"),
            ("a.yaml", "- {seed: 1}\n- name: x\n\n- {seed: 1, 'seed': 2}\n"),
            ("a.json", '[{"seed": 1}, {"seed": 1, "seed": 2}]'),
        ],
    )
    def test_is_refused_in_a_mapping(self, write: Write, name: str, content: str) -> None:
        file = write(name, content)
        error = refused(lambda: grid_from_flags([], [file]))
        assert error.what == f"{file} has 'seed' twice in one mapping."

    def test_is_told_with_its_line_in_yaml(self, write: Write) -> None:
        error = refused(lambda: grid_from_flags([], [write("a.yaml", "seed: [1]\n\nseed: [2]\n")]))
        assert error.why == "The second one is in line 3."

    def test_may_be_in_what_is_merged(self, write: Write) -> None:
        file = write("a.yaml", "- &one {seed: 1, name: x}\n- {<<: *one, seed: 2}\n- {<<: *one, seed: 3}\n")
        assert [point["seed"] for point in points_of(grid_from_flags([], [file]))] == [1, 2, 3]

    def test_is_refused_in_a_frame(self) -> None:
        frame = pd.DataFrame([[1, 2]], columns=["seed", "seed"])
        assert refused(lambda: grid_from(frame)).what == "The grid has the column seed twice."

    def test_is_refused_in_parquet(self, tmp_path: Path) -> None:
        file = tmp_path / "a.parquet"
        pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["seed", "seed"]), file)
        assert "seed" in refused(lambda: grid_from_flags([], [file])).why


class TestWholeNumbersThatATableKeptAsFloats:
    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_are_ints_where_the_notebook_declares_one(self, tmp_path: Path, kind: str) -> None:
        """pandas makes floats of a column in which a cell is empty."""
        frame = pd.DataFrame({"seed": [1, None, 3], "alpha": [1, 2, 3]})
        points = points_of(grid_from_flags([], [write_frame(tmp_path, kind, frame)]))
        assert points == points_of(grid_from(frame))
        assert repr(points) == "[{'seed': 1, 'alpha': 1.0}, {'alpha': 2.0}, {'seed': 3, 'alpha': 3.0}]"

    def test_are_the_same_points(self, write: Write) -> None:
        assert points_of(grid_from_flags([], [write("a.csv", "seed\n1\n1.0\n")])) == [{"seed": 1}]
        assert repr(points_of(grid_from({"seed": [2.0, 2]}))) == "[{'seed': 2}]"

    def test_are_ints_where_the_default_is_one(self, write: Write) -> None:
        rows = points_of(grid_from_flags([], [write("a.csv", "depth,seed\n1.0,1\n1.5,2\n")]))
        assert repr(rows) == "[{'depth': 1, 'seed': 1}, {'depth': 1.5, 'seed': 2}]"
        assert repr(points_of(grid_from_flags(["depth=1,2.0"]))) == "[{'depth': 1}, {'depth': 2.0}]"

    def test_stay_text_where_text_is_declared(self, write: Write) -> None:
        assert points_of(grid_from_flags([], [write("a.csv", "name\n1.0\n")])) == [{"name": "1.0"}]

    @pytest.mark.parametrize("value", ["1.5", ".inf", "1.0e+300"])
    def test_are_whole_and_exact(self, write: Write, value: str) -> None:
        error = refused(lambda: grid_from_flags([], [write("a.csv", f"seed\n{value}\n")]))
        assert "is not of type int" in error.what

    def test_are_refused_as_flags_as_they_are_by_a_run(self) -> None:
        error = refused(lambda: grid_from_flags(["seed=1.0,2.0"]))
        assert error.what == "seed=1.0 is not of type int."
        assert "-p seed=3" in error.hint

    def test_are_plain_numbers_where_the_notebook_is_not_asked(self) -> None:
        kept = check_parameters(dict(grid_from({"x": 1.0}).shared), [], notebook="nb", allow_unknown=True)
        assert type(kept["x"]) is float


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("name", "content", "where"),
        [
            ("a.csv", "seed,alpha\n1,1\n\n2,1\nx,1\n", "{file}, line 5: "),
            ("a.yaml", "- seed: 1\n- seed: x\n", "Row 2 of {file}: "),
            ("a.yaml", "seed: [1, x]\n", "In {file}: "),
            ("a.yaml", "alpha: [1, 2]\nseed: x\n", "In {file}: "),
        ],
    )
    def test_is_told_with_its_place_and_not_as_of_a_flag(
        self, write: Write, name: str, content: str, where: str
    ) -> None:
        file = write(name, content)
        error = refused(lambda: grid_from_flags([], [file]))
        assert error.what == where.format(file=file) + "seed='x' is not of type int."
        assert "-p" not in error.hint

    def test_in_parquet_is_told_with_its_row(self, tmp_path: Path) -> None:
        file = tmp_path / "grid.parquet"
        pq.write_table(pa.table({"seed": [1.0, 1.5]}), file)
        error = refused(lambda: grid_from_flags([], [file]))
        assert error.what == f"Row 2 of {file}: seed=1.5 is not of type int."

    def test_in_python_is_told_with_its_row(self) -> None:
        error = refused(lambda: grid_from([{"seed": 1}, {"sed": 2}]))
        assert error.what == "Row 2 of the grid: nb.ipynb has no parameter sed (did you mean seed?)."

    @pytest.mark.parametrize("content", ["seed,alpha\n1,2\n3\n", "seed,alpha\n1,2\n3,4,5\n"])
    def test_with_the_number_of_cells_is_told_with_its_line(self, write: Write, content: str) -> None:
        error = refused(lambda: grid_from_flags([], [write("a.csv", content)]))
        assert "a.csv, line 3, has " in error.what
        assert "cells than there are names" in error.what

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.yaml", "seed: 0..2\n"), ("a.yaml", "seed: [0..2]\n"), ("a.csv", "name,seed\n1..2,0..2\n")],
    )
    def test_as_a_range_is_told_what_to_write(self, write: Write, name: str, content: str) -> None:
        error = refused(lambda: grid_from_flags(["alpha=1,2"], [write(name, content)]))
        assert "0..2 is a range with -p only" in error.hint

    def test_as_nothing_but_a_range_is_told_it_too(self, write: Write) -> None:
        file = write("a.yaml", "seed: 0..2\n")
        for make in (partial(grid_from_flags, [], [file]), partial(grid_from, {"seed": "0..2"})):
            error = refused(make)
            assert error.what == "No parameter has several values."
            assert "0..2 is a range with -p only" in error.hint

    def test_beside_a_text_that_looks_like_a_range_is_no_range(self, write: Write) -> None:
        error = refused(lambda: grid_from_flags([], [write("a.csv", "name,seed\n1..2,x\n")]))
        assert "range" not in error.hint

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_with_the_index_of_a_frame_is_told_how_to_leave_it_out(self, tmp_path: Path, kind: str) -> None:
        frame = pd.DataFrame({"seed": [1, 2]}, index=["a", "b"])
        file = tmp_path / f"grid.{kind}"
        frame.to_csv(file) if kind == "csv" else frame.to_parquet(file)
        assert f"df.to_{kind}(file, index=False)" in refused(lambda: grid_from_flags([], [file])).hint

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("1...3", "A range has two dots: 1..3"),
            ("0.5...1", "A range has two dots: 0.5..1..0.1"),
            ("0.1..0.3", "Write it behind: 0.1..0.3..0.1"),
        ],
    )
    def test_with_a_range_is_told_how_to_write_it(self, text: str, hint: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_values(text, "-p a")
        assert caught.value.hint == hint


class TestNotANumber:
    @pytest.mark.parametrize("nothing", [math.nan, None, pd.NaT, pd.NA])
    def test_in_a_frame_leaves_the_parameter_to_the_notebook(self, nothing: Any) -> None:
        frame = pd.DataFrame({"seed": [1, 2], "name": pd.Series(["x", nothing], dtype=object)})
        assert points_of(grid_from(frame)) == [{"seed": 1, "name": "x"}, {"seed": 2}]

    def test_that_was_written_as_such_is_refused_with_what_to_do(self, tmp_path: Path, write: Write) -> None:
        file = tmp_path / "grid.parquet"
        pq.write_table(pa.table({"alpha": [1.0, math.nan]}), file)
        for grid, where in (
            (grid_from_flags([], [file]), f"Row 2 of {file}"),
            (grid_from([{"alpha": 1.0}, {"alpha": math.nan}]), "Row 2 of the grid"),
            (grid_from_flags([], [write("a.csv", "alpha\n.nan\n")]), f"{tmp_path / 'a.csv'}, line 2"),
            (grid_from_flags([], [write("b.csv", "alpha\nnan\n")]), f"{tmp_path / 'b.csv'}, line 2"),
        ):
            with pytest.raises(ParameterError) as caught:
                points_of(grid)
            assert caught.value.what == f"{where}: The parameter alpha is NaN."
            assert "row.dropna().to_dict()" in caught.value.hint

    def test_is_text_where_text_is_declared(self, write: Write) -> None:
        assert points_of(grid_from_flags([], [write("a.csv", "name\n.nan\n")])) == [{"name": ".nan"}]

    def test_is_told_as_such_also_of_an_int(self) -> None:
        error = refused(lambda: grid_from([{"seed": math.nan}]))
        assert error.what == "Row 1 of the grid: The parameter seed is NaN."


class TestValuesFromPython:
    @pytest.mark.parametrize(
        "values",
        [
            (seed for seed in (1, 2, 3)),
            {3, 2, 1},
            frozenset({1, 2, 3}),
            {1: "a", 2: "b", 3: "c"}.keys(),
            map(int, "123"),
            pd.Series([1, 2, 3]),
            (1, 2, 3),
        ],
        ids=lambda values: type(values).__name__,
    )
    def test_are_whatever_can_be_iterated(self, values: Iterable[int]) -> None:
        assert points_of(grid_from({"seed": values})) == [{"seed": 1}, {"seed": 2}, {"seed": 3}]

    def test_of_a_set_are_in_the_same_order_each_time(self) -> None:
        assert grid_from({"name": {"c", "a", "b"}}).axes == {"name": ["a", "b", "c"]}
        assert grid_from({"name": {"a", 1}}).axes == {"name": ["a", 1]}

    def test_of_numpy_are_those_of_python(self) -> None:
        values = pd.Series([1, 2]).to_numpy()
        for grid in ([{"seed": value} for value in values], {"seed": list(values)}, {"seed": iter(values)}):
            assert repr(points_of(grid_from(grid))) == "[{'seed': 1}, {'seed': 2}]"

    def test_without_end_are_refused(self) -> None:
        error = refused(lambda: grid_from({"seed": itertools.count()}))
        assert error.what == "The parameter seed has more than 1,000,000 values."

    def test_are_not_the_letters_of_a_text_nor_the_keys_of_a_mapping(self) -> None:
        shared = {"name": "text", "table": {"a": 1}}
        assert grid_from({"seed": [1, 2], **shared}).shared == shared

    def test_may_be_rows_that_are_made_one_by_one(self) -> None:
        assert points_of(grid_from({"seed": seed} for seed in (1, 2))) == [{"seed": 1}, {"seed": 2}]

    @pytest.mark.parametrize("file", ["grid.csv", Path("grid.csv")])
    def test_are_no_file(self, file: Any) -> None:
        assert "pandas.read_csv" in refused(lambda: grid_from(file)).hint

    def test_are_no_column_of_a_frame_alone(self) -> None:
        assert "Row 1 of the grid is no mapping" in refused(lambda: grid_from(pd.Series([1, 2]))).what

    def test_that_make_no_grid_are_refused_in_words_of_python_too(self) -> None:
        assert '{"alpha": [0.1, 0.2]' in refused(lambda: grid_from({"seed": 1})).hint

"""The table of a sweep for other programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dayfly.errors import MissingExtraError
from dayfly.report.sweep_columns import columns_of
from dayfly.report.sweep_exports import to_csv, to_json, to_parquet
from dayfly.runs.state import State
from dayfly.runs.store import open_store
from dayfly.runs.sweep import Point
from dayfly.runs.sweep_results import SweepTable, load_table
from tests.unit.runs.sweep_stores import SWEEP_ID, put_point, put_sweep


def make_table(
    records: list[dict[str, Any]],
    parameters: list[dict[str, Any]] | None = None,
    message: str = "",
    shared: Mapping[str, Any] = MappingProxyType({}),
) -> SweepTable:
    """A sweep whose points recorded this; the last one failed where there is a message."""
    store = open_store("memory://")
    given = parameters or [{"alpha": index / 10} for index in range(len(records))]
    sweep = put_sweep(store, [Point(parameters=each) for each in given], parameters=dict(shared))
    for index, each in enumerate(records):
        failed = bool(message) and index == len(records) - 1
        state = State.FAILED if failed else State.SUCCEEDED
        put_point(store, sweep, index, state, records=each, message=message or "Every cell was executed.")
    return load_table(store, SWEEP_ID)


def rows_of(table: SweepTable) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_csv_has_parameters_records_and_the_end() -> None:
    first, second = rows_of(make_table([{"rmse": 0.5}, {"rmse": 0.25, "n": 3}]))
    assert (first["point"], first["alpha"], first["rmse"], first["n"]) == ("0", "0.0", "0.5", "")
    assert (second["alpha"], second["n"], second["state"], second["duration_s"]) == (
        "0.1",
        "3",
        "succeeded",
        "5.0",
    )
    assert second["run_id"] == f"{SWEEP_ID}.1"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff20"])
def test_text_that_a_spreadsheet_would_execute_is_text(begin: str) -> None:
    text = f"{begin}HYPERLINK(1)"
    (row,) = rows_of(make_table([{"x": text, f"{begin}name": 1}]))
    assert row["x"] == f"'{text}"
    assert row[f"'{begin}name"] == "1"


def test_numbers_stay_numbers_and_lists_are_json() -> None:
    records = {
        "a": -1.5,
        "b": -3,
        "c": float("nan"),
        "d": float("-inf"),
        "e": [1, "x"],
        "f": True,
        "g": 'a,"b',
    }
    (row,) = rows_of(make_table([records]))
    assert [row[name] for name in "abcd"] == ["-1.5", "-3", "NaN", "-Infinity"]
    assert math.isnan(float(row["c"]))
    assert json.loads(row["e"]) == [1, "x"]
    assert (row["f"], row["g"]) == ("true", 'a,"b')


def test_two_columns_never_share_a_name() -> None:
    table = make_table([{"alpha": 1, "state": 2, "point": 3}], [{"alpha": 0, "state": "x"}])
    names = [column.name for column in columns_of(table)]
    assert len(names) == len(set(names))
    (row,) = rows_of(table)
    assert (row["alpha"], row["record.alpha"]) == ("0", "1")
    assert (row["parameter.state"], row["record.state"], row["state"]) == ("x", "2", "succeeded")
    assert (row["point"], row["record.point"]) == ("0", "3")


def test_what_all_points_share_has_columns_after_what_differs() -> None:
    """Of two sweeps whose tables were put together, each row says what it was asked."""
    table = make_table([{"rmse": 1, "seed": 2}], shared={"seed": 7, "model": "tree"})
    assert list(rows_of(table)[0])[:6] == ["point", "alpha", "seed", "model", "rmse", "record.seed"]
    assert [rows_of(table)[0][name] for name in ("seed", "model")] == ["7", "tree"]
    read = pq.read_table(pa.BufferReader(to_parquet(table)))
    assert read["seed"].to_pylist() == [7]


def test_people_read_what_all_points_share_above_the_table_and_not_in_it() -> None:
    names = [column.name for column in columns_of(make_table([{}], shared={"seed": 7}))]
    assert names[:3] == ["point", "alpha", "state"]


def test_a_name_means_the_same_whether_shared_parameters_are_shown_or_not() -> None:
    table = make_table([{"seed": 2}], shared={"seed": 7})
    shown, whole = ({column.name for column in columns_of(table, shared=each)} for each in (False, True))
    assert whole - shown == {"seed"}
    assert "record.seed" in shown


def test_a_point_without_a_value_of_its_own_has_the_shared_one() -> None:
    rows = rows_of(make_table([{}, {}], [{"alpha": 1, "seed": 1}, {"alpha": 2}], shared={"seed": 7}))
    assert [row["seed"] for row in rows] == ["1", "7"]


def test_json_is_strict() -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    table = make_table([{"a": float("nan"), "b": [float("inf")]}, {}], message="Cell 3 raised")
    said = json.loads(to_json(table), parse_constant=refuse)
    assert said["points"][0]["records"] == {"a": "NaN", "b": ["Infinity"]}
    assert said["states"] == {"succeeded": 1, "failed": 1}
    assert said["points"][1]["message"] == "Cell 3 raised"
    assert (said["sweep_id"], said["count"]) == (SWEEP_ID, 2)


def test_parquet_has_types() -> None:
    records = [
        {"whole": 1, "mixed": 1, "odd": 1, "text": "x", "flag": True, "huge": 1 << 70, "vast": 10**400},
        {"whole": 2, "mixed": 0.5, "odd": "x", "flag": False, "list": [1], "vast": 0.5},
    ]
    read = pq.read_table(pa.BufferReader(to_parquet(make_table(records))))
    types = {field.name: str(field.type) for field in read.schema}
    columns = read.to_pydict()
    assert (types["whole"], columns["whole"]) == ("int64", [1, 2])
    assert (types["mixed"], columns["mixed"]) == ("double", [1.0, 0.5])
    assert (types["odd"], columns["odd"]) == ("string", ["1", '"x"'])
    assert (types["text"], columns["text"]) == ("string", ["x", None])
    assert (types["flag"], columns["flag"]) == ("bool", [True, False])
    assert (types["huge"], columns["huge"]) == ("string", [str(1 << 70), None])
    assert (types["vast"], columns["vast"]) == ("string", [str(10**400), "0.5"])
    assert (types["cost_dollars"], columns["cost_dollars"]) == ("null", [None, None])
    assert (types["list"], columns["list"]) == ("string", [None, "[1]"])


def test_without_pyarrow_it_says_what_to_do() -> None:
    def find(name: str) -> Any:
        raise ImportError(name)

    with pytest.raises(MissingExtraError, match=r"pip install 'dayfly\[parquet\]'"):
        to_parquet(make_table([{}]), find)

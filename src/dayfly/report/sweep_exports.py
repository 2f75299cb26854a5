"""The table of a sweep for other programs: CSV, JSON, Parquet.

What notebooks recorded is their word. A spreadsheet takes text that begins like a formula for one, so in CSV
such text gets an apostrophe in front, as OWASP recommends; numbers stay numbers.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from dayfly.errors import MissingExtraError
from dayfly.report.sweep_columns import columns_of
from dayfly.runs.sweep_results import SweepTable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are full width, as in Japanese."""
_QUOTED = re.compile(r"[,\"\r\n]")
_INT64 = 1 << 63


def to_csv(table: SweepTable) -> str:
    """A heading and a line a point; lists and dictionaries are JSON, nothing is an empty cell."""
    columns = columns_of(table, shared=True)
    lines = [[_harmless(column.name) for column in columns]]
    lines += [[_csv_cell(column.of(row)) for column in columns] for row in table.rows]
    return "".join(f"{','.join(map(_quoted, line))}\n" for line in lines)


def _quoted(cell: str) -> str:
    """As RFC 4180 has it. Python's csv leaves a lone carriage return bare, which ends rows for many."""
    return '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell


def _csv_cell(value: Any) -> str:
    if isinstance(value, str):
        return _harmless(value)
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False)


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def to_json(table: SweepTable) -> str:
    """One object: the sweep, and its points with all that is known. NaN and the infinities are text."""
    states = {"waiting" if state is None else str(state): count for state, count in table.counts.items()}
    points = [
        {
            "point": row.index,
            "parameters": row.parameters,
            "records": row.records,
            **{column.name: column.of(row) for column in columns_of(table) if column.kind == "end"},
        }
        for row in table.rows
    ]
    sweep = table.sweep
    said = {
        "sweep_id": sweep.sweep_id,
        "notebook": sweep.run.notebook,
        "parameters": sweep.run.parameters,
        "count": sweep.count,
        "states": states,
        "cost_dollars": None if table.cost is None else float(table.cost),
        "points": points,
    }
    return json.dumps(_strict(said), indent=1, ensure_ascii=False)


def _strict(value: Any) -> Any:
    """Without what JSON has not: NaN and the infinities by their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    return [_strict(each) for each in value] if isinstance(value, list | tuple) else value


def to_parquet(table: SweepTable, find: Callable[[str], Any] = importlib.import_module) -> bytes:
    """The same columns as in CSV, with types. Raises MissingExtraError where `find` finds no pyarrow."""
    try:
        arrow, parquet = find("pyarrow"), find("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError(
            "Parquet files need pyarrow.",
            why="It is not installed beside dayfly.",
            hint="Install it with: pip install 'dayfly[parquet]'\nor write CSV: dayfly results -o FILE.csv",
        ) from error
    arrays = {}
    for column in columns_of(table, shared=True):
        kind, values = _typed([column.of(row) for row in table.rows])
        arrays[column.name] = arrow.array(values, type=getattr(arrow, kind)())
    sink = io.BytesIO()
    parquet.write_table(arrow.table(arrays), sink)
    return sink.getvalue()


def _typed(values: Sequence[Any]) -> tuple[str, list[Any]]:
    """The narrowest type that holds a whole column, and its values in it; a mixture is JSON text."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return "null", list(values)
    if kinds == {bool}:
        return "bool_", list(values)
    if kinds == {int} and all(value is None or -_INT64 <= value < _INT64 for value in values):
        return "int64", list(values)
    if kinds <= {int, float} and float in kinds:
        with suppress(OverflowError):  # an integer that no float is as large as
            return "float64", [None if value is None else float(value) for value in values]
    if kinds == {str}:
        return "string", list(values)
    return "string", [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]

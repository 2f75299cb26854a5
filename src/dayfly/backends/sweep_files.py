"""Grids in files: rows or axes from YAML, JSON, CSV and Parquet."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from dayfly.backends.yaml_values import MOST_NESTED, doubled, parse_scalar, parse_yaml, too_deep
from dayfly.errors import MissingExtraError, UsageError
from dayfly.runner.inspection import TypedText, WholeFloat

Row = dict[str, Any]
_MOST_EXACT = 2**53
"""Beyond it a float stands for several whole numbers."""
_NAMES_FIRST = "The first line names the parameters: alpha,seed"
_NO_INDEX = "Where pandas wrote it, leave out the index: df.{}(file, index=False)"


@dataclass(frozen=True)
class Table:
    """Rows, and where each of them stands, for messages."""

    rows: list[Row]
    places: list[str]


def read_grids(files: Sequence[Path]) -> Table | dict[str, Any]:
    """What the files hold; that of several is one list of rows, those of each file after another's.

    Raises UsageError where one of several has no rows but axes, and what `read_grid` does.
    """
    grids = [read_grid(file) for file in files]
    if len(grids) == 1:
        return grids[0]
    both = Table([], [])
    for file, grid in zip(files, grids, strict=True):
        if not isinstance(grid, Table):
            raise UsageError(
                f"{file} cannot go with another file.",
                why="Files of rows go one after another; this one is a mapping, whose product is taken.",
                hint="Give its values with -p beside the rows, or write all points into one file.",
            )
        both.rows.extend(grid.rows)
        both.places.extend(grid.places)
    return both


def read_grid(file: Path) -> Table | dict[str, Any]:
    """What the file holds: rows, or axes by name, of which a single value is shared.

    A cell that is empty leaves the parameter to the notebook. Raises UsageError, and MissingExtraError for
    Parquet without pyarrow.
    """
    kind = file.suffix.lower()
    if kind == ".csv":
        return _from_csv(_text_of(file), file)
    if kind in {".parquet", ".pq"}:
        return read_parquet(file)
    if kind in {".yaml", ".yml", ".json"}:
        return _from_yaml(_text_of(file), file)
    raise UsageError(
        f"The grid file {file} is of no kind that is known.", why="These are: .yaml, .json, .csv, .parquet."
    )


def rows_of(grid: Iterable[Any], where: str) -> Table:
    """Rows that were given as mappings. Raises UsageError."""
    rows: list[Row] = []
    for number, row in enumerate(grid, 1):
        if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            raise UsageError(
                f"Row {number} of {where} is no mapping of names to values.",
                hint="Write rows as {alpha: 0.1, seed: 1}, or axes as alpha: [0.1, 0.2]",
            )
        rows.append({name: as_plain(value) for name, value in row.items()})
    return Table(rows, [f"Row {number} of {where}" for number in range(1, len(rows) + 1)])


def axes_of(grid: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Axes that were given as lists by name. Raises UsageError."""
    for name in grid:
        if not isinstance(name, str):
            raise UsageError(f"{where} has {name!r} where the name of a parameter should be.")
    return dict(grid)


def as_plain(value: Any) -> Any:
    """A value that JSON has, where there is one: NumPy's as Python's, dates as text, as they are with -p.

    A whole number that is a float is marked: tables keep them so.
    """
    with suppress(RecursionError):  # told where it is checked, by name
        value = _plain(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MOST_EXACT:
        return WholeFloat(value)
    return value


def listed(value: Any) -> Any:
    """Values of NumPy and pandas as Python's; NumPy would make numbers of dates in nanoseconds."""
    if type(value).__module__ == "numpy" and value.dtype.kind == "M":
        value = value.astype("datetime64[us]")
    return value.tolist() if hasattr(value, "tolist") else value


def _plain(value: Any, depth: int = 0) -> Any:
    """The same without the mark, also within lists and mappings. Raises RecursionError."""
    value = listed(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if depth > MOST_NESTED:
        raise RecursionError
    if isinstance(value, (datetime, date, time)):
        return value.isoformat() if value == value else math.nan  # noqa: PLR0124 -- pandas' NaT
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, Mapping):
        return {name: _plain(each, depth + 1) for name, each in value.items()}
    return value


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The grid file {file} cannot be read.", why=str(error)) from error


def _from_yaml(text: str, file: Path) -> Table | dict[str, Any]:
    grid = _parse_json(text, str(file)) if file.suffix.lower() == ".json" else parse_yaml(text, str(file))
    if isinstance(grid, Mapping):
        return axes_of(grid, str(file))
    if isinstance(grid, list):
        return rows_of(grid, str(file))
    raise UsageError(
        f"The grid file {file} holds no grid.",
        why="It should be a list of rows, or a mapping of names to lists of values.",
    )


def _parse_json(text: str, where: str) -> Any:
    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise doubled(where, twice([name for name, _ in pairs]))
        return found

    try:
        return json.loads(text, object_pairs_hook=mapping)
    except RecursionError as error:
        raise too_deep(where) from error
    except ValueError as error:
        raise UsageError(f"{where} is not valid JSON.", why=str(error)) from error


def twice(names: Iterable[Any]) -> Any:
    """The first name that is there a second time; None where each is there once."""
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def refuse_doubled_columns(names: Iterable[Any], where: str) -> None:
    """Raises UsageError: a row would keep but one of them."""
    name = twice(names)
    if name is not None:
        raise UsageError(f"{where} has the column {name} twice.")


def _from_csv(text: str, file: Path) -> Table:
    """A row may be several lines, in quotes; its place is the line at which it begins."""
    lines = list(io.StringIO(text, newline=""))  # str.splitlines divides at more than ends of lines
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    known: dict[str, TypedText] = {}
    line = 1
    try:
        names = [name.strip() for name in next(reader, [])]
        if text.strip() and not lines[0].strip():
            raise UsageError(f"The first line of {file} is empty.", hint=_NAMES_FIRST)
        _check_names(names, file)
        table = Table([], [])
        line = reader.line_num + 1
        for cells in reader:
            place = f"{file}, line {line}"
            blank = not lines[line - 1].strip()
            line = reader.line_num + 1
            if blank:
                continue
            _check_cells(cells, names, place)
            pairs = zip(names, cells, strict=True)
            table.rows.append({name: _cell(cell, known, place) for name, cell in pairs if cell != ""})
            table.places.append(place)
    except csv.Error as error:
        raise UsageError(
            f"{file}, line {line}, is not valid CSV.",
            why=str(error),
            hint='A cell that begins with a quote ends with one, and has those inside doubled: "say ""yes"""',
        ) from error
    return table


def _check_names(names: list[str], file: Path) -> None:
    wrong = next((name for name in names if not name.isidentifier()), None)
    if wrong is not None:
        of_pandas = not wrong or wrong.startswith("Unnamed:")
        raise UsageError(
            f"{file} has {wrong!r} in its first line, which is no name of a parameter.",
            hint=_NAMES_FIRST + (f"\n{_NO_INDEX.format('to_csv')}" if of_pandas else ""),
        )
    refuse_doubled_columns(names, str(file))


def _check_cells(cells: Sequence[str], names: Sequence[str], place: str) -> None:
    if len(cells) > len(names):
        raise UsageError(
            f"{place}, has more cells than there are names.", why=f"It has {len(cells)} for {len(names)}."
        )
    if len(cells) < len(names):
        raise UsageError(
            f"{place}, has fewer cells than there are names.",
            why=f"It has {len(cells)} for {len(names)}: {names[len(cells)]} would have none.",
            hint="A parameter that is left to the notebook has an empty cell, with its comma: 0.1,,3",
        )


def _cell(text: str, known: dict[str, TypedText], place: str) -> TypedText:
    """A cell means what it would with -p; equal ones are looked at once."""
    if text not in known:
        known[text] = TypedText(text, as_plain(parse_scalar(text, place)), in_file=True)
    return known[text]


def read_parquet(file: Path, find: Callable[[str], Any] = importlib.import_module) -> Table:
    """The rows of a Parquet file. Raises MissingExtraError where `find` finds no pyarrow."""
    try:
        arrow, parquet = find("pyarrow"), find("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError(
            f"The grid file {file} cannot be read: that needs pyarrow.",
            hint="Install it with: pip install 'dayfly[parquet]'\nor write the grid as CSV.",
        ) from error
    try:
        table = parquet.read_table(file)
    except (OSError, arrow.ArrowException) as error:
        raise UsageError(f"The grid file {file} cannot be read.", why=str(error)) from error
    index = next((name for name in table.column_names if name.startswith("__index_level_")), None)
    if index is not None:
        raise UsageError(
            f"{file} has the column {index}, which is the index of a data frame, not a parameter.",
            hint=_NO_INDEX.format("to_parquet"),
        )
    rows = ({name: value for name, value in row.items() if value is not None} for row in table.to_pylist())
    return rows_of(rows, str(file))

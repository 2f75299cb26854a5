"""From what a user asks for to the points of a sweep: product, pairs, sample; equal ones are one."""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dayfly.backends.made_later import MadeLater
from dayfly.backends.sweep_checks import Check, check_at, hint_of_range, no_json
from dayfly.backends.sweep_files import (
    Table,
    as_plain,
    axes_of,
    listed,
    read_grids,
    refuse_doubled_columns,
    rows_of,
)
from dayfly.backends.sweep_values import MOST_POINTS, parse_pair
from dayfly.errors import UsageError
from dayfly.runner.inspection import TypedText
from dayfly.runs.sweep import Point, canonical

_THE_GRID = "the grid"
"""What Python gave, in messages."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What was asked for: rows times axes. No rows is one row without parameters."""

    shared: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] | None = None
    places: Sequence[str] = ()
    """Where each row stands, for messages."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where those of `shared` and `axes` stand that are not from `-p`, for messages."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that differ between points, those of the rows first."""
        in_rows = dict.fromkeys(itertools.chain.from_iterable(self.rows or ()))
        return (*in_rows, *self.axes)

    def sharing(self, parameters: Mapping[str, Any]) -> Grid:
        """The same with more parameters that all points share. Raises UsageError for one that it has."""
        twice = next((name for name in parameters if name in {*self.names, *self.shared}), None)
        if twice is not None:
            raise UsageError(f"The parameter {twice} is in the grid and among what all points share.")
        return replace(self, shared={**self.shared, **parameters})


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How points are made of a grid."""

    zipped: bool = False
    """The axes go in step, instead of each value with each."""
    sample: int | None = None
    """So many points, drawn without repetition."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The points of a sweep, no two of them equal; and what all of them share."""

    shared: dict[str, Any]
    names: tuple[str, ...]
    points: list[Point]
    asked: int
    """How many there were before equal ones became one."""


def grid_from_flags(pairs: Sequence[str], files: Sequence[Path] = ()) -> Grid:
    """The grid of `-p` and `-f`. One value is shared; several, and those of a mapping in a file, are axes.

    Raises UsageError for a parameter that is given twice, and for files that do not go together.
    """
    where = ", ".join(map(str, files))
    grid = _grid_of(read_grids(files), where) if files else Grid()
    taken = {*grid.names, *grid.shared}
    shared, axes = dict(grid.shared), dict(grid.axes)
    given: set[str] = set()
    for pair in pairs:
        name, values = parse_pair(pair)
        if name in taken or name in given:
            how = f"in {where} and as -p" if name in taken else "twice"
            raise UsageError(
                f"The parameter {name} is given {how}.",
                hint=f"Give all its values at once: -p {name}=VALUE,VALUE",
            )
        given.add(name)
        if isinstance(values, TypedText):
            shared[name] = values
        else:
            axes[name] = values
    return replace(grid, shared=shared, axes=axes)


def grid_from(grid: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Grid:
    """The grid that Python gave: rows, or values by name, of which a single one is shared. Raises UsageError.

    Arrays of NumPy and pandas are lists, as is whatever can be iterated and is no text and no mapping. A data
    frame is its rows, in which a cell with nothing in it leaves the parameter to the notebook.
    """
    if isinstance(grid, (str, os.PathLike)):
        raise UsageError(
            f"The grid is {str(grid)!r}, which is no mapping and no rows.",
            hint="Read a file first, such as with pandas.read_csv(file), or give it to: dayfly sweep -f FILE",
        )
    if hasattr(grid, "columns") and hasattr(grid, "isna"):
        grid = _rows_of_frame(grid)
    return _grid_of(grid if isinstance(grid, Mapping) else rows_of(grid, _THE_GRID), _THE_GRID)


def _rows_of_frame(frame: Any) -> list[dict[str, Any]]:
    """Its rows; pandas has NaN, or another of its values, where CSV has an empty cell and Parquet a null."""
    refuse_doubled_columns(frame.columns, _THE_GRID.capitalize())
    rows = frame.to_dict("records")
    empty = frame.isna().to_dict("records")
    return [
        {name: value for name, value in row.items() if not nothing[name]}
        for row, nothing in zip(rows, empty, strict=True)
    ]


def _grid_of(grid: Table | Mapping[Any, Any], where: str) -> Grid:
    if isinstance(grid, Table):
        return Grid(rows=grid.rows, places=grid.places)
    values = {name: _values(name, value) for name, value in axes_of(grid, where).items()}
    return Grid(
        shared={name: value for name, value in values.items() if not isinstance(value, (list, MadeLater))},
        axes={name: value for name, value in values.items() if isinstance(value, (list, MadeLater))},
        origins=dict.fromkeys(values, f"In {where}"),
    )


def _values(name: str, value: Any) -> Any:
    """The values of an axis, as a list or made later; or one value. Raises UsageError for an endless one."""
    value = listed(value)
    if isinstance(value, range) and len(value) > MOST_POINTS:
        return MadeLater(len(value), value.__getitem__)
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Iterable):
        return as_plain(value)
    if isinstance(value, (set, frozenset)):
        value = _in_order(value)
    if not isinstance(value, Sized):  # it may be without end
        value = list(itertools.islice(value, MOST_POINTS + 1))
        if len(value) > MOST_POINTS:
            raise UsageError(f"The parameter {name} has more than {MOST_POINTS:,} values.")
    return [as_plain(each) for each in value]


def _in_order(values: set[Any] | frozenset[Any]) -> list[Any]:
    """The same from one Python to the next, in which a set of texts has another order each time."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


def draw_points(grid: Grid, drawing: Drawing, check: Check) -> Drawn:
    """The points, in the order of the rows and then of the axes, the last axis fastest.

    Each value is checked once, however many points have it; of an axis that is longer than a sweep may be,
    those that are drawn. Raises UsageError for a grid without points or with too many, and ParameterError
    for a value that is not right.
    """
    _check_grid(grid, drawing)
    places = itertools.chain(grid.places, itertools.repeat(""))
    checked = Grid(
        shared=_checked_shared(grid, check),
        axes={
            name: _checked(name, values, grid.origins.get(name, ""), check)
            for name, values in grid.axes.items()
        },
        rows=grid.rows
        and [check_at(row, place, check) for row, place in zip(grid.rows, places, strict=False)],
    )
    keys: dict[bytes, Point] = {}
    asked = 0
    for parameters in _parameters(checked, drawing):
        asked += 1
        keys.setdefault(_key(parameters), Point.model_construct(parameters=parameters, run=None))
    _key(checked.shared)
    return Drawn(shared=dict(checked.shared), names=checked.names, points=list(keys.values()), asked=asked)


def _checked_shared(grid: Grid, check: Check) -> dict[str, Any]:
    """Those of one origin together, so that all names that are not known are told at once."""
    checked: dict[str, Any] = {}
    for origin in dict.fromkeys(grid.origins.get(name, "") for name in grid.shared):
        of_it = {name: value for name, value in grid.shared.items() if grid.origins.get(name, "") == origin}
        checked |= check_at(of_it, origin, check)
    return {name: checked[name] for name in grid.shared}


def _checked(name: str, values: Sequence[Any], origin: str, check: Check) -> Sequence[Any]:
    found = MadeLater(len(values), lambda index: check_at({name: values[index]}, origin, check)[name])
    return list(found) if len(values) <= MOST_POINTS else found


def _check_grid(grid: Grid, drawing: Drawing) -> None:
    if not grid.axes and grid.rows is None:
        ranges = [hint for name in grid.origins if (hint := hint_of_range(grid.shared.get(name)))]
        raise UsageError(
            "No parameter has several values.",
            why="A sweep is many runs of one notebook, each with other parameters.",
            hint=ranges[0]
            if ranges
            else "Give lists or ranges: -p alpha=0.1,0.2 -p seed=1..20, or run it once: dayfly run\n"
            'From Python: {"alpha": [0.1, 0.2], "seed": range(1, 21)}',
        )
    empty = next((name for name, values in grid.axes.items() if not values), None)
    if empty is not None or (grid.rows is not None and not grid.rows):
        what = f"The parameter {empty} has no values" if empty is not None else "The grid has no rows"
        raise UsageError(f"{what}: there is nothing to run.")
    lengths = {name: len(values) for name, values in grid.axes.items()}
    if drawing.zipped and len(set(lengths.values())) > 1:
        raise UsageError(
            "--zip needs lists of one length (from Python: zipped=True).",
            why="They have: " + ", ".join(f"{name} {length}" for name, length in lengths.items()) + ".",
        )
    if drawing.sample is not None and not 0 < drawing.sample <= MOST_POINTS:
        raise UsageError(f"--sample {drawing.sample} is not between 1 and {MOST_POINTS:,}.")
    if drawing.sample is None and _size(grid, drawing) > MOST_POINTS:
        raise UsageError(
            f"The grid has {_size(grid, drawing):,} points.",
            why=f"A sweep has at most {MOST_POINTS:,}.",
            hint="Draw some of them: --sample 1000 (from Python: sample=1000)",
        )


def _size(grid: Grid, drawing: Drawing) -> int:
    rows = 1 if grid.rows is None else len(grid.rows)
    lengths = [len(values) for values in grid.axes.values()]
    return rows * (max(lengths, default=1) if drawing.zipped else math.prod(lengths))


def _parameters(grid: Grid, drawing: Drawing) -> Iterator[dict[str, Any]]:
    size = _size(grid, drawing)
    if drawing.sample is not None and drawing.sample < size:
        numbers: Iterator[int] = iter(_draw(size, drawing.sample, drawing.seed))
    else:
        numbers = iter(range(size))
    for number in numbers:
        yield _at(grid, number, zipped=drawing.zipped)


def _draw(size: int, count: int, seed: int) -> list[int]:
    """So many different numbers below `size`, in order; as good for a size that no range could have."""
    dice = random.Random(seed)  # noqa: S311 -- nothing is kept secret by it
    if count * 2 > size:  # most of them: leave some out
        left_out = set(_draw(size, size - count, seed)) if count < size else set()
        return [number for number in range(size) if number not in left_out]
    drawn: set[int] = set()
    while len(drawn) < count:
        drawn.add(dice.randrange(size))
    return sorted(drawn)


def _at(grid: Grid, number: int, *, zipped: bool) -> dict[str, Any]:
    """The parameters of one point: its number written in digits, of which each axis is one."""
    chosen: dict[str, Any] = {}
    if zipped:
        length = max((len(values) for values in grid.axes.values()), default=1)
        number, place = divmod(number, length)
        chosen = {name: values[place] for name, values in grid.axes.items()}
    else:
        for name in reversed(list(grid.axes)):
            number, place = divmod(number, len(grid.axes[name]))
            chosen[name] = grid.axes[name][place]
        chosen = dict(reversed(chosen.items()))
    row = grid.rows[number] if grid.rows is not None else {}
    return {**row, **chosen}


def _key(parameters: Mapping[str, Any]) -> bytes:
    """What equal points have in common. Raises ParameterError for what is no JSON."""
    try:
        return canonical(parameters)
    except (TypeError, ValueError, RecursionError) as error:
        raise no_json("A parameter", error) from error

"""From what a user asks for to the points of a sweep: product, pairs, sample; equal ones are one."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dayfly.backends.made_later import MadeLater
from dayfly.backends.sweep_files import axes_of, read_grid, rows_of
from dayfly.backends.sweep_values import MOST_POINTS, parse_pair
from dayfly.errors import ParameterError, UsageError
from dayfly.runner.inspection import TypedText
from dayfly.runs.sweep import Point, canonical

Check = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Converts some parameters to the types that the notebook declares, or raises ParameterError."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What was asked for: rows times axes. No rows is one row without parameters."""

    shared: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] | None = None

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


def grid_from_flags(pairs: Sequence[str], file: Path | None) -> Grid:
    """The grid of `-p` and `-f`. One value is shared; several, and those of a mapping in the file, are axes.

    Raises UsageError for a parameter that is given twice.
    """
    grid = grid_from(read_grid(file), str(file)) if file is not None else Grid()
    taken = {*grid.names, *grid.shared}
    shared, axes = dict(grid.shared), dict(grid.axes)
    given: set[str] = set()
    for pair in pairs:
        name, values = parse_pair(pair)
        if name in taken or name in given:
            where = f"in {file} and as -p" if name in taken else "twice"
            raise UsageError(
                f"The parameter {name} is given {where}.",
                hint=f"Give all its values at once: -p {name}=VALUE,VALUE",
            )
        given.add(name)
        if isinstance(values, TypedText):
            shared[name] = values
        else:
            axes[name] = values
    return Grid(shared=shared, axes=axes, rows=grid.rows)


def grid_from(grid: Mapping[str, Any] | Sequence[Mapping[str, Any]], where: str = "the grid") -> Grid:
    """The grid of rows, or of lists by name, in which what is no list is shared. Raises UsageError.

    Arrays of NumPy and pandas are lists, and a data frame is its rows.
    """
    if hasattr(grid, "to_dict"):
        grid = grid.to_dict("records")
    if not isinstance(grid, Mapping):
        return Grid(rows=rows_of(grid, where))
    values = {name: _plain(value) for name, value in axes_of(grid, where).items()}
    return Grid(
        shared={name: value for name, value in values.items() if not isinstance(value, (list, MadeLater))},
        axes={name: value for name, value in values.items() if isinstance(value, (list, MadeLater))},
    )


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, range) and len(value) > MOST_POINTS:
        return MadeLater(len(value), value.__getitem__)
    return list(value) if isinstance(value, (tuple, range)) else value


def draw_points(grid: Grid, drawing: Drawing, check: Check) -> Drawn:
    """The points, in the order of the rows and then of the axes, the last axis fastest.

    Each value is checked once, however many points have it; of an axis that is longer than a sweep may be,
    those that are drawn. Raises UsageError for a grid without points or with too many, and ParameterError
    for a value that is not right.
    """
    _check_grid(grid, drawing)
    checked = Grid(
        shared=check(grid.shared),
        axes={name: _checked(name, values, check) for name, values in grid.axes.items()},
        rows=None if grid.rows is None else [check(row) for row in grid.rows],
    )
    keys: dict[bytes, Point] = {}
    asked = 0
    for parameters in _parameters(checked, drawing):
        asked += 1
        keys.setdefault(_key(parameters), Point.model_construct(parameters=parameters, run=None))
    _key(checked.shared)
    return Drawn(shared=dict(checked.shared), names=checked.names, points=list(keys.values()), asked=asked)


def _checked(name: str, values: Sequence[Any], check: Check) -> Sequence[Any]:
    found = MadeLater(len(values), lambda place: check({name: values[place]})[name])
    return list(found) if len(values) <= MOST_POINTS else found


def _check_grid(grid: Grid, drawing: Drawing) -> None:
    if not grid.axes and grid.rows is None:
        raise UsageError(
            "No parameter has several values.",
            why="A sweep is many runs of one notebook, each with other parameters.",
            hint="Give lists or ranges: -p alpha=0.1,0.2 -p seed=1..20, or run it once: dayfly run",
        )
    empty = next((name for name, values in grid.axes.items() if not values), None)
    if empty is not None or (grid.rows is not None and not grid.rows):
        what = f"The parameter {empty} has no values" if empty is not None else "The grid has no rows"
        raise UsageError(f"{what}: there is nothing to run.")
    lengths = {name: len(values) for name, values in grid.axes.items()}
    if drawing.zipped and len(set(lengths.values())) > 1:
        raise UsageError(
            "--zip needs lists of one length.",
            why="They have: " + ", ".join(f"{name} {length}" for name, length in lengths.items()) + ".",
        )
    if drawing.sample is not None and not 0 < drawing.sample <= MOST_POINTS:
        raise UsageError(f"--sample {drawing.sample} is not between 1 and {MOST_POINTS:,}.")
    if drawing.sample is None and _size(grid, drawing) > MOST_POINTS:
        raise UsageError(
            f"The grid has {_size(grid, drawing):,} points.",
            why=f"A sweep has at most {MOST_POINTS:,}.",
            hint="Draw some of them: --sample 1000",
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
    """What equal points have in common. Raises ParameterError for what is no JSON, and for NaN."""
    for name, value in parameters.items():
        if not isinstance(value, (str, int)) and _has_nan(value):
            raise ParameterError(
                f"The parameter {name} is NaN in one of the points.",
                why="NaN equals nothing, not even itself: nobody could tell whether the point was run.",
                hint="Give a number, or null.",
            )
    try:
        return canonical(parameters)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(
            "A parameter cannot be written as JSON.",
            why=str(error),
            hint="Give numbers, text, true or false, lists and dictionaries of these.",
        ) from error


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, Mapping):
        return any(_has_nan(inner) for inner in value.values())
    return isinstance(value, (list, tuple)) and any(_has_nan(inner) for inner in value)

"""The table of a sweep as columns: its parameters, what was recorded, and how each point ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dayfly.runs.state import State
from dayfly.runs.sweep_results import PointResult, SweepTable

Kind = Literal["point", "parameter", "record", "end"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its heading, what it is of, and its value in a row (a JSON value)."""

    name: str
    kind: Kind
    of: Callable[[PointResult], Any]


_POINT = Column(name="point", kind="point", of=lambda row: row.index)
_ENDS = (
    Column(name="state", kind="end", of=lambda row: None if row.state is None else str(row.state)),
    Column(name="duration_s", kind="end", of=lambda row: row.duration_s),
    Column(name="cost_dollars", kind="end", of=lambda row: None if row.cost is None else float(row.cost)),
    Column(name="attempt", kind="end", of=lambda row: row.attempt or None),
    Column(name="reused", kind="end", of=lambda row: row.reused),
    Column(name="run_id", kind="end", of=lambda row: row.run_id),
    Column(name="started", kind="end", of=lambda row: row.started.isoformat() if row.started else None),
    Column(name="failed_cell", kind="end", of=lambda row: row.failed_cell),
    Column(name="reason", kind="end", of=lambda row: row.reason or None),
    Column(name="message", kind="end", of=lambda row: row.message or None),
)


def columns_of(table: SweepTable, *, shared: bool = False) -> list[Column]:
    """All columns. A parameter or record whose name another column has is told apart by what it is.

    The parameters that all points share, which people read once above the table, have columns only where
    they are asked for: for programs that put the tables of several sweeps together.
    """
    varying = parameter_names(table)
    same = table.sweep.run.parameters
    parameters = dict.fromkeys([*varying, *same])
    taken = {_POINT.name, *(column.name for column in _ENDS)}
    columns = [_POINT]
    for kind, names in (("parameter", parameters), ("record", table.record_names)):
        for name in names:
            heading = _free(name, kind, taken)
            taken.add(heading)  # also where it is not shown: a name means the same in every view
            if shared or kind == "record" or name in varying:
                columns.append(_column(heading, kind, name, same.get(name)))
    return [*columns, *_ENDS]


def parameter_names(table: SweepTable) -> Sequence[str]:
    """The parameters in which points differ, in the order asked for."""
    named = dict.fromkeys(table.sweep.names)
    return tuple(named | dict.fromkeys(name for row in table.rows for name in row.parameters))


def _free(name: str, kind: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{kind}.{name}"
    return name


def _column(heading: str, kind: str, name: str, same: Any) -> Column:
    """`same` is what all points have for the parameter, but for those that have a value of their own."""
    if kind == "parameter":
        return Column(name=heading, kind="parameter", of=lambda row: row.parameters.get(name, same))
    return Column(name=heading, kind="record", of=lambda row: row.records.get(name))


def state_words(state: State | None) -> str:
    """A state in words; a point that no run was made of yet is waiting."""
    return "waiting" if state is None else state.value.replace("_", " ")

"""The table of a sweep in a terminal: what failed first, and no wider than there is room."""

from __future__ import annotations

import json
import math
from typing import Any

import typer

from dayfly.cli.sweep_text import describe_points
from dayfly.cli.text import format_duration, print_table, safe_text, style_state, to_stderr
from dayfly.report.sweep_columns import Column, columns_of, state_words
from dayfly.runs.sweep_results import PointResult, SweepTable

_ROWS = 50
_WIDEST = 28
_REASONS = 5
_POINTS = 8
_GAP = 2


def print_sweep(table: SweepTable, *, everything: bool, width: int | None) -> None:
    """The table on stdout; what is said about it, on stderr. `width` is the room; None: as wide as it is."""
    rows = table.failures_first()
    shown = rows if everything else rows[:_ROWS]
    columns = columns_of(table)
    wanted = [column for column in columns if column.kind in {"parameter", "record"}]
    cells = {column.name: [_words(column.of(row)) for row in shown] for column in wanted}
    ends = [_end(row) for row in shown]
    dollars = any(row.cost is not None for row in table.rows)
    room = None if width is None else width - _width_of_rest(shown, ends, dollars=dollars)
    kept, left_out = _fit(wanted, cells, room)
    headings = ["POINT", *(_shorten(safe_text(column.name)) for column in kept), "STATE", "TOOK"]
    lines = [
        [str(row.index), *(cells[column.name][at] for column in kept), *ends[at][:2]]
        for at, row in enumerate(shown)
    ]
    if dollars:
        headings.append("COST")
        lines = [[*line, ends[at][2]] for at, line in enumerate(lines)]
    print_table(headings, lines)
    _print_notes(table, len(shown), left_out)
    _print_reasons(table)


def _fit(
    wanted: list[Column], cells: dict[str, list[str]], room: int | None
) -> tuple[list[Column], list[Column]]:
    """The columns that there is room for, from the left, and those that there is not."""
    if room is None:
        return wanted, []
    for count, column in enumerate(wanted):
        heading = _shorten(safe_text(column.name))
        room -= max(len(cell) for cell in [heading, *cells[column.name]]) + _GAP
        if room < 0:
            return wanted[:count], wanted[count:]
    return wanted, []


def _width_of_rest(shown: list[PointResult], ends: list[tuple[str, str, str]], *, dollars: bool) -> int:
    point = max([len("POINT"), *(len(str(row.index)) for row in shown)])
    state = max([len("STATE"), *(len(row.state or "unknown") for row in shown)])
    took = max([len("TOOK"), *(len(end[1]) for end in ends)])
    cost = max([len("COST"), *(len(end[2]) for end in ends)]) + _GAP if dollars else 0
    return point + state + took + 2 * _GAP + cost


def _end(row: PointResult) -> tuple[str, str, str]:
    """State, time and cost of a row, in words."""
    state = "waiting" if row.run_id is None else style_state(row.state)
    took = "" if row.duration_s is None else format_duration(row.duration_s)
    cost = "" if row.cost is None else f"${row.cost:.4f}"
    return state, "earlier" if row.reused else took, cost


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _shorten(safe_text(json.dumps(value, ensure_ascii=False)))
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return _shorten(safe_text(str(value)).replace("\n", " ").replace("\t", " "))


def _shorten(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _print_notes(table: SweepTable, shown: int, left_out: list[Column]) -> None:
    sweep = table.sweep.sweep_id
    counts = [
        f"{count:,} {state_words(state)}"
        for state, count in sorted(table.counts.items(), key=lambda item: -item[1])
    ]
    cost = "" if table.cost is None else f" · {table.at_most}${table.cost:.2f} by the time that they ran"
    to_stderr(f"{describe_points(len(table.rows))}: {', '.join(counts)}{cost}")
    if shown < len(table.rows):
        to_stderr(f"The first {shown}; all of them with: dayfly results {sweep} --all")
    if left_out:
        names = _shorten(", ".join(safe_text(column.name) for column in left_out))
        many = "1 column does" if len(left_out) == 1 else f"{len(left_out)} columns do"
        to_stderr(f"{many} not fit here ({names}); all of them with: dayfly results {sweep} --csv")


def _print_reasons(table: SweepTable) -> None:
    reasons = table.reasons()
    for message, rows in reasons[:_REASONS]:
        points = ", ".join(str(row.index) for row in rows[:_POINTS])
        more = f" and {len(rows) - _POINTS:,} more" if len(rows) > _POINTS else ""
        first = (safe_text(message).splitlines() or [""])[0]
        to_stderr(
            typer.style(f"✗ point{'s' if len(rows) > 1 else ''} {points}{more}: ", fg=typer.colors.RED)
            + first
        )
    if len(reasons) > _REASONS:
        to_stderr(f"and {len(reasons) - _REASONS} other reasons; all of them with --json")

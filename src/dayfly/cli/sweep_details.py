"""Everything about one sweep, for `dayfly show`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from dayfly.backends.sweep_view import Overview, Sweep
from dayfly.cli.machine_details import print_line
from dayfly.cli.sweep_summary import next_commands, sweep_event
from dayfly.cli.sweep_text import describe_counts, describe_parameters, describe_points, describe_value
from dayfly.cli.text import SYMBOLS, format_duration, format_when, print_table, safe_text, style_state
from dayfly.runs.state import State
from dayfly.runs.sweep_results import PointResult, SweepTable, load_table

_SHOWN = 40
_LONGEST_MESSAGE = 70


def print_sweep_details(sweep: Sweep, *, as_json: bool) -> None:
    """Print it, on stdout: for a person, or for programs."""
    overview, table = sweep.look(), load_table(sweep.store, sweep.sweep_id)
    if as_json:
        typer.echo(json.dumps(to_json(sweep, overview, table), indent=1))
        return
    _print_head(sweep, overview, table)
    typer.echo()
    rows = _in_order(overview, table)
    _print_points(sweep, overview, rows[:_SHOWN])
    if len(rows) > _SHOWN:
        typer.echo(f"and {len(rows) - _SHOWN:,} more: dayfly show --json {sweep.sweep_id}")
    typer.echo()
    for number, command in enumerate(next_commands(sweep.sweep_id, overview)):
        print_line("next" if number == 0 else "", command)


def to_json(sweep: Sweep, overview: Overview, table: SweepTable) -> dict[str, Any]:
    """The same for programs: the request, how many points stand where, and each point."""
    event = sweep_event(overview)
    return {
        "sweep_id": sweep.sweep_id,
        "state": event["state"],
        "store": sweep.store.url,
        "done": event["done"],
        "counts": event["counts"],
        "request": sweep.request.model_dump(mode="json"),
        "points": [_point_to_json(row, overview.states[row.index]) for row in table.rows],
    }


def _point_to_json(row: PointResult, state: State | None) -> dict[str, Any]:
    return {
        "index": row.index,
        "parameters": dict(row.parameters),
        "state": state,
        "run_id": row.run_id,
        "attempt": row.attempt,
        "reused": row.reused,
        "message": row.message,
        "duration_s": row.duration_s,
        "cost": None if row.cost is None else str(row.cost),
        "records": dict(row.records),
    }


def _print_head(sweep: Sweep, overview: Overview, table: SweepTable) -> None:
    request, state = sweep.request, overview.state
    symbol = SYMBOLS.get(state, "✗" if state.ended else "▸")
    typer.echo(f"{symbol} {typer.style(sweep.sweep_id, bold=True)}  {style_state(state)}")
    print_line("notebook", request.run.notebook if request.run.notebook != "-" else "standard input")
    reused = f", {overview.reused:,} of them run before" if overview.reused else ""
    print_line("points", f"{describe_points(len(overview.points))}{reused}")
    print_line("states", describe_counts(overview))
    if request.run.parameters:
        print_line("shared", describe_parameters(request.run.parameters))
    print_line("on", request.run.backend)
    print_line(
        "requested", f"{format_when(request.created)} ({request.created.astimezone():%Y-%m-%d %H:%M:%S})"
    )
    times = [row.duration_s for row in table.rows if row.duration_s is not None and not row.reused]
    if times:
        longest = format_duration(max(times))
        print_line("took", f"{format_duration(sum(times))} of notebooks together, {longest} the longest")
    if table.cost is not None:
        print_line("cost", f"{table.at_most}${table.cost:.4f}")
    print_line("kernel", request.run.kernel)


def _in_order(overview: Overview, table: SweepTable) -> list[PointResult]:
    """Failures first, then what runs now, then the rest."""

    def rank(row: PointResult) -> tuple[int, int]:
        state = overview.states[row.index]
        if state is None:
            return 3, row.index
        if state.ended:
            return (2 if state is State.SUCCEEDED else 0), row.index
        return 1, row.index

    return sorted(table.rows, key=rank)


def _print_points(sweep: Sweep, overview: Overview, rows: Sequence[PointResult]) -> None:
    names = sweep.request.names
    cells = []
    for row in rows:
        state = overview.states[row.index]
        values = [describe_value(row.parameters[name]) if name in row.parameters else "" for name in names]
        took = "" if row.duration_s is None else format_duration(row.duration_s)
        cells.append(
            [
                f"[{row.index}]",
                *values,
                "waiting" if state is None else style_state(state),
                took,
                _note(row, state),
            ]
        )
    print_table(["POINT", *names, "STATE", "TOOK", ""], cells)


def _note(row: PointResult, state: State | None) -> str:
    """Why it failed, or which attempt or earlier run it is."""
    if row.reused and row.run_id is not None:
        return f"run before, {row.run_id}"
    attempt = f"attempt {row.attempt}" if row.attempt > 1 else ""
    if state is None or not state.ended or state is State.SUCCEEDED:
        return attempt
    first = safe_text((row.message.splitlines() or ["It left no result."])[0])
    shown = first if len(first) <= _LONGEST_MESSAGE else f"{first[: _LONGEST_MESSAGE - 1]}…"
    return f"{shown} ({attempt})" if attempt else shown

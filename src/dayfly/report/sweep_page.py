"""What came of a sweep as one HTML page on its own: no network, and nothing of a notebook's that acts.

What notebooks and parameters hold is text to this page: it is escaped, and pictures are data URLs. Besides, a
content security policy allows the one script that sorts the table, by its hash, and no request to anywhere.
"""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dayfly._version import __version__
from dayfly.report.sweep_columns import Column, columns_of, state_words
from dayfly.report.sweep_page_plots import collect_plots, render_plots
from dayfly.report.sweep_page_style import POLICY, SCRIPT, STYLE
from dayfly.runs import layout
from dayfly.runs.state import State
from dayfly.runs.store import Store
from dayfly.runs.sweep_results import PointResult, SweepTable

_KINDS = {
    State.SUCCEEDED: "good",
    State.FAILED: "bad",
    State.TIMED_OUT: "late",
    State.LOST: "gone",
    State.NEVER_STARTED: "gone",
    State.CANCELLED: "stopped",
    State.INTERRUPTED: "stopped",
    None: "waiting",
}
_SHOWN_POINTS = 40
_TOLD_POINTS = 6
"""Of so many points that failed alike, each is told with its parameters; of more, these are tooltips."""
_LONGEST = 200
_LONGEST_REASON = 2000
_MANY_ROWS = 40
"""With more, the table scrolls under its heading."""
_SHOWN_ENDS = ("state", "duration_s", "cost_dollars")
_HEADINGS = {"duration_s": "took (s)", "cost_dollars": "cost ($)"}


def render_sweep(
    store: Store,
    table: SweepTable,
    *,
    cell: str | None = None,
    beside: Path | None = None,
    now: datetime | None = None,
) -> str:
    """The page. `beside` is the folder that it will lie in, from which links to notebooks are relative.

    `cell` chooses the plots, by number or id. Raises UsageError when it has none, and StoreError.
    """
    plots = collect_plots(store, table, cell)
    shown = ""
    if plots is not None:
        note = f'<p class="note">{_escape(plots.note)}</p>' if plots.note else ""
        title = f"Plots of cell {_escape(plots.cell.split(' ')[0])}"
        shown = f"<section><h2>{title}</h2>{note}{render_plots(plots, table)}</section>"
    name = _notebook_name(table)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{_escape(name)}: {_escape(table.sweep.sweep_id)}</title><style>{STYLE}</style></head>"
        f"<body><main>{_head(table, name)}{_reasons(table)}{shown}"
        f"<section><h2>Points</h2>{_points(store, table, beside)}</section>"
        f"<footer>As of {(now or datetime.now(UTC)):%Y-%m-%d %H:%M} UTC, by dayfly {__version__}. "
        "Select a heading to sort, and a plot to see it larger.</footer>"
        f"</main><script>{SCRIPT}</script></body></html>\n"
    )


def _notebook_name(table: SweepTable) -> str:
    notebook = table.sweep.run.notebook
    return "A notebook from standard input" if notebook == "-" else Path(notebook).name


def _head(table: SweepTable, name: str) -> str:
    sweep = table.sweep
    counts = sorted(table.counts.items(), key=lambda item: -item[1])
    bar = "".join(
        f'<i class="{_kind(state)}" style="flex: {count}" title="{state_words(state)}: {count}"></i>'
        for state, count in counts
    )
    legend = "".join(
        f'<li><i class="{_kind(state)}"></i><b>{count:,}</b> {state_words(state)}</li>'
        for state, count in counts
    )
    count = "1 point" if sweep.count == 1 else f"{sweep.count:,} points"
    facts = [count, f"asked for {sweep.created:%Y-%m-%d %H:%M} UTC", sweep.run.backend]
    facts += [f"{key} = {_shown(value)}" for key, value in sweep.run.parameters.items()]
    if table.cost is not None:
        facts.append(f"${table.cost:.2f} by the time that they ran")
    told = _escape(" · ".join(facts))
    return (
        f"<header><h1>{_escape(name)}</h1>"
        f'<p class="facts"><span class="id">{_escape(sweep.sweep_id)}</span> · {told}</p>'
        f'<div class="states">{bar}</div><ul class="legend">{legend}</ul></header>'
    )


def _kind(state: State | None) -> str:
    return _KINDS.get(state, "going")


def _reasons(table: SweepTable) -> str:
    """What failed, and why: each message once."""
    items = []
    for message, rows in table.reasons():
        who = f"Point {rows[0].index}" if len(rows) == 1 else f"{len(rows):,} points"
        items.append(
            f'<li class="{_kind(rows[0].state)}"><b>{who}</b> {_which(rows)}'
            f"<pre>{_escape(message[:_LONGEST_REASON])}</pre></li>"
        )
    if not items:
        return ""
    return f'<section><h2>What failed</h2><ul class="reasons">{"".join(items)}</ul></section>'


def _which(rows: Sequence[PointResult]) -> str:
    """The points that failed alike, each with its parameters."""
    if len(rows) == 1:
        return f"<small>{_asked(rows[0])}</small>"
    if len(rows) <= _TOLD_POINTS:
        told = "".join(f"<li><b>{row.index}</b> {_asked(row)}</li>" for row in rows)
        return f'<ul class="which">{told}</ul>'
    points = ", ".join(f'<span title="{_asked(row)}">{row.index}</span>' for row in rows[:_SHOWN_POINTS])
    more = f" and {len(rows) - _SHOWN_POINTS:,} more" if len(rows) > _SHOWN_POINTS else ""
    return f"<small>{points}{more}</small>"


def _asked(row: PointResult) -> str:
    """The parameters of a point."""
    return _escape(_cut(", ".join(f"{name} = {_shown(value)}" for name, value in row.parameters.items())))


def _points(store: Store, table: SweepTable, beside: Path | None) -> str:
    columns = [column for column in columns_of(table) if column.kind != "end" or column.name in _SHOWN_ENDS]
    if table.cost is None:
        columns = [column for column in columns if column.name != "cost_dollars"]
    rows = table.failures_first()
    ranges = {column.name: _range([column.of(row) for row in rows]) for column in columns}
    heads = "".join(
        f'<th class="{"number" if ranges[column.name] else ""}" scope="col">'
        f'<button type="button">{_escape(_HEADINGS.get(column.name, column.name))}</button></th>'
        for column in columns
    )
    body = "".join(
        "<tr>"
        + "".join(_cell(column, row, ranges[column.name]) for column in columns)
        + f"<td>{_link(store, row, beside)}</td></tr>"
        for row in rows
    )
    box = " points-box" if len(rows) > _MANY_ROWS else ""
    return (
        f'<div class="scroll{box}"><table class="points"><thead><tr>'
        f'{heads}<th scope="col"><button type="button">notebook</button></th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _range(values: list[Any]) -> tuple[float, float] | None:
    """The least and the greatest of a column of numbers; None for one that holds anything else."""
    numbers: list[float] = []
    given = [value for value in values if value is not None]
    for value in given:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if abs(value) < 1e300:  # noqa: PLR2004 -- no NaN, no infinity, and no integer that is no float
            numbers.append(float(value))
    if not given:
        return None
    return (min(numbers), max(numbers)) if numbers else (0.0, 0.0)  # NaN alone


def _cell(column: Column, row: PointResult, spread: tuple[float, float] | None) -> str:
    value = column.of(row)
    if column.name == "state" and column.kind == "end":
        return f'<td><span class="pill {_kind(row.state)}">{state_words(row.state)}</span></td>'
    if value is None:
        return "<td></td>"
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = _shown(value)
        full = f' title="{_escape(text)}"' if len(text) > 40 else ""  # noqa: PLR2004 -- about what fits
        return f"<td{full}>{_escape(text)}</td>"
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)[:_LONGEST]
    if not abs(value) < 1e300:  # noqa: PLR2004 -- sorts last
        return f'<td class="number" data-v="NaN">{shown}</td>'
    bar = ""
    if column.kind == "record" and spread is not None and spread[1] > spread[0]:
        share = (float(value) / 2 - spread[0] / 2) / (spread[1] / 2 - spread[0] / 2)
        bar = f' style="--w: {max(100 * share, 1):.1f}%"' if math.isfinite(share) else ""
    return f'<td class="number {column.kind}" data-v="{float(value)!r}"{bar}>{shown}</td>'


def _link(store: Store, row: PointResult, beside: Path | None) -> str:
    """The executed notebook, by a relative path; in words where the page or the store is elsewhere."""
    if row.run_id is None or row.state is None or not row.state.ended:
        return ""
    path = store.path(layout.run_key(row.run_id, layout.OUTPUT))
    if path is None or beside is None:
        return f"<code>dayfly open {_escape(row.run_id)}</code>"
    target = quote(Path(os.path.relpath(path, beside)).as_posix())
    return f'<a href="{_escape(target)}">{layout.OUTPUT}</a>{" (earlier)" if row.reused else ""}'


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _escape(text: str) -> str:
    return html.escape(text)

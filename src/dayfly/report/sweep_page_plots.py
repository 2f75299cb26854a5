"""Small multiples: the plot of one cell at every point of a sweep, laid out over its grid.

Notebooks are read a few at a time, and no more than a page can bear; what they hold is not trusted: a picture
stands in the page as a data URL whose every character was looked at.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dayfly.errors import UsageError
from dayfly.report.sanitize import picture_of_svg
from dayfly.report.sweep_columns import parameter_names, state_words
from dayfly.runs import layout
from dayfly.runs.state import State
from dayfly.runs.store import Store
from dayfly.runs.sweep_results import PointResult, SweepTable, get_many

MOST_PICTURES = 400
MOST_BYTES = 40 << 20
"""Of all pictures of a page, as they stand in it."""
_AT_ONCE = 16
"""Notebooks in memory at once."""
_MOST_COLUMNS = 12
_MOST_FACETS = 24
_SIDE_REM, _PLOT_REM = 9, 18
"""How wide the first column is, and how wide others may become."""
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)
_BITMAPS = ("image/png", "image/jpeg", "image/webp", "image/gif")
_SVG = "image/svg+xml"


@dataclass(frozen=True, kw_only=True)
class Plots:
    """The pictures of one cell, by point, each an `<img>`; and what is to be said about them."""

    cell: str
    pictures: Mapping[int, str]
    note: str = ""


def collect_plots(store: Store, table: SweepTable, cell: str | None) -> Plots | None:
    """The pictures of `cell` (a number from 1, or an id), or of the last cell that has any.

    None when no notebook has a picture. Raises UsageError when the cell that was asked for has none.
    """
    rows = [row for row in table.rows if row.run_id is not None and row.state is not None and row.state.ended]
    pictures: dict[int, str] = {}
    room, chosen, others = MOST_BYTES, cell, set[str]()
    note = ""
    if len(rows) > MOST_PICTURES:
        note = f"The first {MOST_PICTURES} of {len(rows):,} points that have ended."
    for index, notebook in _notebooks(store, rows[:MOST_PICTURES]):
        found = _pictures_of(notebook)
        if found and chosen is None:
            chosen = list(found)[-1]
        others |= found.keys()
        picture = _of_cell(found, chosen)
        if picture is None:
            continue
        room -= len(picture)
        if room < 0:
            note = (
                f"The pictures of the first {len(pictures)} points: more would be more than a page can bear."
            )
            break
        pictures[index] = picture
    if not pictures and cell is not None:
        raise UsageError(
            f"Cell {cell} of the executed notebooks has no picture.",
            why=f"These have one: {', '.join(sorted(others)) or 'none'}.",
            hint="Give a cell's number, counted from 1 with the parameters' cell, or its id.",
        )
    return Plots(cell=str(chosen), pictures=pictures, note=note) if pictures else None


def _notebooks(store: Store, rows: Sequence[PointResult]) -> Iterator[tuple[int, Any]]:
    for start in range(0, len(rows), _AT_ONCE):
        few = rows[start : start + _AT_ONCE]
        contents = get_many(store, [str(row.run_id) for row in few], layout.OUTPUT)
        for row, (_, content) in zip(few, contents, strict=True):
            try:
                yield row.index, json.loads(content or b"{}")
            except ValueError:  # damaged: it has no picture
                continue


def _pictures_of(notebook: Any) -> dict[str, str]:
    """Each cell's last picture, in order; the key is the cell's number, and its id after a space."""
    found: dict[str, str] = {}
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    for number, cell in enumerate(cells if isinstance(cells, list) else [], 1):
        outputs = cell.get("outputs") if isinstance(cell, dict) else None
        for output in reversed(outputs if isinstance(outputs, list) else []):
            data = output.get("data") if isinstance(output, dict) else None
            picture = _picture(data) if isinstance(data, dict) else None
            if picture is not None:
                found[f"{number} {cell.get('id', '')}".strip()] = picture
                break
    return found


def _of_cell(found: Mapping[str, str], wanted: str | None) -> str | None:
    """The picture of the cell with this number or id, or both."""
    for name, picture in found.items():
        if wanted is not None and (wanted == name or wanted in name.split(" ", 1)):
            return picture
    return None


def _picture(data: Mapping[str, Any]) -> str | None:
    for mime in _BITMAPS:
        content = "".join(_text(data.get(mime)).split())
        if _BASE64.fullmatch(content):
            return f'<img src="data:{mime};base64,{content}">'
    svg = _text(data.get(_SVG))
    return picture_of_svg(svg) if svg else None


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def render_plots(plots: Plots, table: SweepTable) -> str:
    """The pictures as a table over two parameters, one for each value of the others, or in rows."""
    rows = {row.index: row for row in table.rows}
    names = [name for name in parameter_names(table) if len({_key(row, name) for row in table.rows}) > 1]
    shown = [rows[index] for index in plots.pictures]
    # Where all of a small sweep are looked at, a point without a picture has its place, and says why.
    placed = list(table.rows) if len(table.rows) <= MOST_PICTURES else shown
    matrices = _matrices(placed, names)
    if matrices is None:
        figures = "".join(_figure(row, plots, names) for row in shown)
        return f'<div class="scroll plots"><div class="wrap">{figures}</div></div>'
    across, down = names[-1], names[-2]
    columns = _values(placed, across)
    parts = []
    wide = f' style="max-width: {_SIDE_REM + _PLOT_REM * len(columns)}rem"'
    for title, matrix in matrices.items():
        heads = "".join(f"<th>{_escape(across)} = {_escape(value)}</th>" for value in columns)
        lines = "".join(
            f'<tr><th class="side">{_escape(down)} = {_escape(value)}</th>'
            + "".join(_cell(matrix.get((value, column)), plots, names) for column in columns)
            + "</tr>"
            for value in _values(placed, down)
            if any((value, column) in matrix for column in columns)
        )
        heading = f"<h3>{_escape(title)}</h3>" if title else ""
        parts.append(
            f'{heading}<div class="scroll plots"><table class="grid"{wide}>'
            f'<thead><tr><th class="side"></th>{heads}'
            f"</tr></thead><tbody>{lines}</tbody></table></div>"
        )
    return "".join(parts)


def _matrices(
    placed: Sequence[PointResult], names: Sequence[str]
) -> dict[str, dict[tuple[str, str], PointResult]] | None:
    """The rows by the values of the last two parameters, for each value of the others; None: no grid."""
    if len(names) < 2:  # noqa: PLR2004 -- a grid has two sides
        return None
    across, down, others = names[-1], names[-2], names[:-2]
    facets: dict[str, dict[tuple[str, str], PointResult]] = {}
    for row in placed:
        title = ", ".join(f"{name} = {_key(row, name)}" for name in others)
        place = (_key(row, down), _key(row, across))
        if place in facets.setdefault(title, {}):
            return None  # two points in one place
        facets[title][place] = row
    columns = len(_values(placed, across))
    size = columns * len(_values(placed, down)) * len(facets)
    sparse = size > 2 * len(placed)
    return None if sparse or columns > _MOST_COLUMNS or len(facets) > _MOST_FACETS else facets


def _values(rows: Sequence[PointResult], name: str) -> list[str]:
    """The values of a parameter as they are shown, in the order in which points have them."""
    return list(dict.fromkeys(_key(row, name) for row in rows))


def _key(row: PointResult, name: str) -> str:
    value = row.parameters.get(name)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False).removesuffix(".0")


def _cell(row: PointResult | None, plots: Plots, names: Sequence[str]) -> str:
    if row is not None and row.index in plots.pictures:
        return f"<td>{_figure(row, plots, names)}</td>"
    why = "" if row is None else "no plot" if row.state is State.SUCCEEDED else state_words(row.state)
    return f'<td class="none">{why}</td>'


def _figure(row: PointResult, plots: Plots, names: Sequence[str]) -> str:
    values = ", ".join(f"{name} = {_key(row, name)}" for name in names)
    caption = f"Point {row.index}{': ' if values else ''}{values}"
    return (
        f'<figure><button aria-label="{_escape(caption)}: larger">{plots.pictures[row.index]}</button>'
        f"<figcaption>{_escape(caption)}</figcaption></figure>"
    )


def _escape(text: str) -> str:
    return html.escape(text)

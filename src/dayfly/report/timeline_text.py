"""A timeline as lines of a terminal: a name, a bar at its place in time, and how long it took."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from dayfly.report.timeline import Part, Phase, Timeline, shorten, summarize

if TYPE_CHECKING:
    from rich.text import Text

_CELLS = 20
_LONGEST_NAME = 34
_SHORTEST_NAME = 20
_TOOK = 9
_SHARE = 5
_EIGHTHS = " ▏▎▍▌▋▊▉"
_COLOURS = {Part.BEFORE: "yellow", Part.NOTEBOOK: "blue", Part.AFTER: "cyan"}
_WORDS = {Part.BEFORE: "before the first cell", Part.NOTEBOOK: "in cells", Part.AFTER: "after the last"}


def render_lines(
    timeline: Timeline,
    *,
    width: int,
    format_duration: Callable[[float], str],
    clean: Callable[[str], str],
) -> Iterator[Text]:
    """The picture in at most `width` columns; `clean` takes out what could drive the terminal."""
    from rich.text import Text

    phases, left_out = shorten(timeline, cells=_CELLS)
    names = [_name(phase, clean) for phase in phases]
    name_width = min(max(map(len, names), default=0), _LONGEST_NAME, max(width * 2 // 5, _SHORTEST_NAME))
    bar_width = max(width - name_width - _TOOK - _SHARE - 4, 10)
    for phase, name in zip(phases, names, strict=True):
        line = Text(no_wrap=True, overflow="crop")
        line.append(_fit(name, name_width), style="red" if phase.failed else "")
        if phase.part is Part.NOTEBOOK:  # its source, beside its name
            line.stylize("dim", len(phase.name), name_width)
        line.append("  ")
        line.append(
            draw_bar(phase, timeline, bar_width), style="red" if phase.failed else _COLOURS[phase.part]
        )
        took_s = phase.duration(timeline.now).total_seconds()
        line.append(f"  {format_duration(took_s):>{_TOOK}}")
        line.append(f"{_share(phase.duration(timeline.now), timeline.total):>{_SHARE}}", style="dim")
        yield line
        if phase.failed and phase.detail and phase.part is not Part.NOTEBOOK:
            yield Text(f"  {_fit(clean(phase.detail), width - 2)}", style="red")
    if left_out:
        yield Text(f"The slowest {_CELLS} cells; {left_out} more are left out, all with --json.", style="dim")
    yield Text()
    yield _summary(timeline, format_duration)


def draw_bar(phase: Phase, timeline: Timeline, width: int) -> str:
    """The bar of a phase in `width` columns: it begins at a whole column, and its length is to an eighth."""
    total = timeline.total / timedelta(seconds=1) or 1.0
    start = (phase.start - timeline.start) / timedelta(seconds=1) / total * width
    length = phase.duration(timeline.now) / timedelta(seconds=1) / total * width
    column = min(int(start), width - 1)
    eighths = max(round(length * 8), 1)
    full, rest = divmod(min(eighths, (width - column) * 8), 8)
    bar = "█" * full + (_EIGHTHS[rest] if rest else "")
    return (" " * column + bar).ljust(width)


def _name(phase: Phase, clean: Callable[[str], str]) -> str:
    source = clean(phase.detail).strip() if phase.part is Part.NOTEBOOK else ""
    return f"{phase.name}  {source}".rstrip() + (" …" if phase.end is None else "")


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"


def _share(part: timedelta, whole: timedelta) -> str:
    return f"{part / whole:.0%}" if whole else ""


def _summary(timeline: Timeline, format_duration: Callable[[float], str]) -> Text:
    from rich.text import Text

    line = Text()
    for part, took in summarize(timeline).items():
        line.append("■ ", style=_COLOURS[part])
        line.append(f"{format_duration(took.total_seconds())} {_WORDS[part]}  ")
    return line

"""A timeline as SVG: text that can be selected, light or dark as its reader has it, and no scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from xml.sax.saxutils import escape

from dayfly.report.timeline import Part, Phase, Timeline, shorten, summarize

_WIDTH = 960
_LEFT = 272
"""Where bars begin: names and details stand before it."""
_RIGHT = 84
"""Room for how long each took."""
_TOP = 92
_ROW = 24
_BAR = 14
_CELLS = 40
_NAME = 18
_DETAIL = 27
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_TICKS = 8
_MINUTE_S = 60
_HOUR_MIN = 60
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_WORDS = {Part.BEFORE: "before the first cell", Part.NOTEBOOK: "in cells", Part.AFTER: "after the last cell"}
_STYLE = """
  svg { background: var(--page); color-scheme: light dark;
        --page: #ffffff; --ink: #1f2328; --soft: #667079; --line: #e4e7eb;
        --before: #d97706; --notebook: #2563eb; --after: #0d9488; --failed: #dc2626; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0f1318; --ink: #e6e9ed; --soft: #96a0ab; --line: #29303a;
          --before: #f0a63c; --notebook: #6ea0ff; --after: #3cc4b2; --failed: #ff7070; } }
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: var(--ink); }
  .title { font-size: 16px; font-weight: 600; }
  .soft, .tick { fill: var(--soft); font-size: 12px; }
  .code { fill: var(--soft); font: 11px ui-monospace, "SFMono-Regular", Menlo, monospace; white-space: pre; }
  .took { font-variant-numeric: tabular-nums; }
  .grid { stroke: var(--line); }
  .before { fill: var(--before); } .notebook { fill: var(--notebook); }
  .after { fill: var(--after); } .failed { fill: var(--failed); }
"""


def render_svg(timeline: Timeline, *, format_duration: Callable[[float], str]) -> str:
    """The picture. Beyond forty cells the slowest are drawn, and how many are not is said."""
    phases, left_out = shorten(timeline, cells=_CELLS)
    bottom = _TOP + _ROW * len(phases)
    height = bottom + (56 if left_out else 32)
    total_s = max(timeline.total.total_seconds(), 0.001)
    scale = (_WIDTH - _LEFT - _RIGHT) / total_s
    rows = [
        _row(phase, number, timeline, scale=scale, format_duration=format_duration)
        for number, phase in enumerate(phases)
    ]
    head = f"{timeline.run_id}: {format_duration(total_s)} from submission to the end"
    note = f"The slowest {_CELLS} cells are shown; {left_out} more are not."
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        f' width="{_WIDTH}" height="{height}" role="img" aria-label="{_text(head)}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="16" y="30">{_text(timeline.run_id)}</text>',
        *_legend(timeline, format_duration),
        *_axis(total_s, scale, bottom),
        *rows,
        *([f'<text class="soft" x="16" y="{bottom + 40}">{note}</text>'] if left_out else []),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _legend(timeline: Timeline, format_duration: Callable[[float], str]) -> list[str]:
    """What each colour means, and how long all of it took."""
    lines, x = [], 16.0
    for part, took in summarize(timeline).items():
        words = f"{format_duration(took.total_seconds())} {_WORDS[part]}"
        lines.append(f'<rect class="{part}" x="{x:g}" y="44" width="12" height="12" rx="3"/>')
        lines.append(f'<text class="soft" x="{x + 18:g}" y="54">{_text(words)}</text>')
        x += 18 + 6.6 * len(words) + 22
    words = f"{format_duration(timeline.total.total_seconds())} in all"
    return [*lines, f'<text class="soft" x="{_WIDTH - 16}" y="54" text-anchor="end">{_text(words)}</text>']


def _axis(total_s: float, scale: float, bottom: int) -> list[str]:
    step = next((step for step in _STEPS_S if total_s / step <= _TICKS), total_s / _TICKS)
    lines, second = [], 0.0
    while second <= total_s:
        x = _LEFT + second * scale
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP - 10}" x2="{x:.1f}" y2="{bottom}"/>')
        words = _tick(second)
        lines.append(f'<text class="tick" x="{x:.1f}" y="{_TOP - 16}" text-anchor="middle">{words}</text>')
        second += step
    return lines


def _tick(second: float) -> str:
    """A time on the axis, without the zeros that a duration has: `30 s`, `5 min`, `1 h 30`."""
    if second < _MINUTE_S:
        return f"{second:g} s"
    minutes = round(second / _MINUTE_S)
    if minutes < _HOUR_MIN:
        return f"{second / _MINUTE_S:.3g} min"
    return f"{minutes // _HOUR_MIN} h" + (f" {minutes % _HOUR_MIN:02d}" if minutes % _HOUR_MIN else "")


def _row(
    phase: Phase, number: int, timeline: Timeline, *, scale: float, format_duration: Callable[[float], str]
) -> str:
    y = _TOP + _ROW * number
    start_s = (phase.start - timeline.start) / timedelta(seconds=1)
    took_s = phase.duration(timeline.now).total_seconds()
    x, width = _LEFT + start_s * scale, max(took_s * scale, 2)
    x = min(x, _WIDTH - _RIGHT - 2)
    took = format_duration(took_s) + (" …" if phase.end is None else "")
    colour = "failed" if phase.failed else str(phase.part)
    about = f"{phase.name}: {took}" + (f"\n{phase.detail}" if phase.detail else "")
    detail = _cut(phase.detail, _DETAIL) if phase.part is Part.NOTEBOOK else ""
    name = f'<text x="16" y="{y + 14}">{_text(_cut(phase.name, _NAME))}</text>'
    code = f'<text class="code" x="76" y="{y + 14}">{_text(detail)}</text>' if detail else ""
    bar = (
        f'<rect class="{colour}" x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{_BAR}"'
        f' rx="{min(3, width / 2):g}"/>'
    )
    label = f'<text class="took" x="{_WIDTH - 16}" y="{y + 14}" text-anchor="end">{_text(took)}</text>'
    return f"<g><title>{_text(about)}</title>{name}{code}{bar}{label}</g>"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _text(text: str) -> str:
    """As it may stand in XML, in an attribute too: what a notebook's source holds cannot end an element."""
    return escape(_CONTROLS.sub("", text.replace("\t", " ")), {'"': "&quot;"})

# ruff: noqa: INP001 -- a script, in no package
"""Draws docs/images/timeline.svg, the picture of `dayfly timeline --svg`, from the values of an example.

The values are invented, of the size that AWS's own pages and others' measurements lead to expect.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from dayfly.cli.text import format_duration
from dayfly.report.timeline import Part, Phase, Timeline
from dayfly.report.timeline_svg import render_svg

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "timeline.svg"
START = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
PHASES: tuple[tuple[str, Part, float, str], ...] = (
    ("submit", Part.BEFORE, 3.1, ""),
    ("create the stack", Part.BEFORE, 19.0, ""),
    ("boot", Part.BEFORE, 12.4, ""),
    ("check the store", Part.BEFORE, 2.2, ""),
    ("Docker", Part.BEFORE, 11.5, ""),
    ("fetch the run", Part.BEFORE, 1.4, ""),
    ("pull the image", Part.BEFORE, 41.3, ""),
    ("start containers", Part.BEFORE, 1.5, ""),
    ("start the runner", Part.BEFORE, 1.2, ""),
    ("start the kernel", Part.BEFORE, 2.1, ""),
    ("cell 1", Part.NOTEBOOK, 1.4, "import pandas as pd"),
    ("cell 2", Part.NOTEBOOK, 22.3, "orders = pd.read_parquet(source)"),
    ("cell 3", Part.NOTEBOOK, 4.0, 'orders.groupby("country").agg(total)'),
    ("cell 4", Part.NOTEBOOK, 148.6, "model = fit(orders, alpha=alpha)"),
    ("cell 5", Part.NOTEBOOK, 6.2, "plot(model)"),
    ("save", Part.AFTER, 1.6, ""),
    ("last upload", Part.AFTER, 3.9, ""),
    ("end the machine", Part.AFTER, 1.8, ""),
    ("delete the stack", Part.AFTER, 52.7, ""),
)


def example() -> Timeline:
    """The timeline of a run that never was."""
    phases, at = [], START
    for name, part, took_s, source in PHASES:
        end = at + timedelta(seconds=took_s)
        phases.append(Phase(name=name, part=part, start=at, end=end, detail=source))
        at = end
    return Timeline(run_id="20261123-101502-analysis-7f3a", start=START, phases=tuple(phases), now=at)


if __name__ == "__main__":
    PICTURE.write_text(render_svg(example(), format_duration=format_duration), encoding="utf-8")

"""The options of `dayfly sweep` that `dayfly run` does not have, or has with another meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayfly.cli.run_options import MACHINE, RUNNING, SETTINGS

POINTS = "Its points"

PairOption = Annotated[
    list[str],
    typer.Option(
        "--parameter",
        "-p",
        metavar="NAME=VALUES",
        help="One value for all points, or several: 0.1,0.2 or 1..20 or 0..1..0.1. Repeatable.",
        rich_help_panel=POINTS,
    ),
]
GridOption = Annotated[
    list[Path],
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        help="Points from YAML, JSON, CSV or Parquet; -p adds to each. Repeatable: rows after rows.",
        rich_help_panel=POINTS,
    ),
]
ZipOption = Annotated[
    bool,
    typer.Option("--zip", help="First with first, second with second: no product.", rich_help_panel=POINTS),
]
SampleOption = Annotated[
    int | None, typer.Option(metavar="N", help="Draw so many points of the grid.", rich_help_panel=POINTS)
]
SeedOption = Annotated[
    int, typer.Option(metavar="K", help="Another one draws other points.", rich_help_panel=POINTS)
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Run every point, whatever was run before.", rich_help_panel=POINTS)
]
OnOption = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="BACKEND",
        help="Where: local (this Python environment), docker (the project's image), batch (AWS Batch).",
        rich_help_panel=RUNNING,
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        help="How many runs at once; else what cores and memory bear.",
        rich_help_panel=SETTINGS,
    ),
]
RetriesOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="How often a run that was lost or interrupted is begun again; never for a cell's error.",
        rich_help_panel=SETTINGS,
    ),
]
TimeoutOption = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help="How long each run may take: 90, 10m, 2h.", rich_help_panel=SETTINGS
    ),
]
MaxCostOption = Annotated[
    str | None,
    typer.Option(
        "--max-cost", metavar="DOLLARS", help="What the whole sweep may cost.", rich_help_panel=MACHINE
    ),
]

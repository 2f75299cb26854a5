"""`dayfly results`: what came of a sweep, as a table, a file, or a page."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from dayfly.cli.options import JsonOption, LocalOption, StoreOption
from dayfly.cli.sweep_names import SweepArgument, find_sweep

_STDOUT = "-"


def results(
    name: SweepArgument = "last",
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV there; `-`: to stdout.")
    ] = None,
    parquet: Annotated[
        str | None, typer.Option("--parquet", metavar="FILE", help="Write Parquet there (needs pyarrow).")
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write one page: a table, and the plots.")
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option("--cell", metavar="N|ID", help="The cell whose plots --html shows; else the last one."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Every point, not the first 50.")] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Show what came of a sweep: parameters, what was recorded, state, time and cost of each point.

    What failed comes first. A result is read once: looking again asks only for what is new.
    """
    from dayfly.cli.sweep_table import print_sweep
    from dayfly.report import sweep_exports
    from dayfly.runner.directories import cache_directory
    from dayfly.runs.sweep_results import SweepTable, load_table

    sweep, index = find_sweep(name, store, local=local)
    table = load_table(sweep.store, sweep.sweep_id, cache=cache_directory(os.environ) / "results")
    if index is not None:
        table = SweepTable(table.sweep, (table.rows[index],))
    if csv is not None:
        _write(csv, sweep_exports.to_csv(table).encode("utf-8", "replace"))
    if parquet is not None:
        _write(parquet, sweep_exports.to_parquet(table))
    if html is not None:
        from dayfly.report.sweep_page import render_sweep

        beside = None if html == _STDOUT else Path(html).absolute().parent
        _write(html, render_sweep(sweep.store, table, cell=cell, beside=beside).encode("utf-8", "replace"))
    if as_json:
        typer.echo(sweep_exports.to_json(table))
    elif csv is parquet is html is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else None
        print_sweep(table, everything=everything, width=width)


def _write(target: str, content: bytes) -> None:
    """To a file, or to stdout; what is there before is replaced when all is there to be written."""
    from dayfly.errors import UsageError

    if target == _STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        Path(target).write_bytes(content)
    except OSError as error:
        raise UsageError(f"{target} cannot be written.", why=str(error.strerror)) from error
    typer.echo(target)

"""`dayfly results`: what came of a sweep, as a table, a file, or a page."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli.options import JsonOption, LocalOption, StoreOption
from dayfly.cli.sweep_names import SweepArgument, find_sweep
from dayfly.errors import RunNotFoundError, UsageError

if TYPE_CHECKING:
    from dayfly.backends.sweep_view import Sweep
    from dayfly.runs.sweep_results import SweepTable

_STDOUT = "-"
_FORMATS = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".html": "html", ".htm": "html"}
"""What a file's suffix says that it is to hold."""
_CALLED = {"csv": "CSV", "parquet": "Parquet", "json": "JSON", "html": "a page"}


def results(
    name: SweepArgument = "last",
    csv: Annotated[bool, typer.Option("--csv", help="CSV, for a spreadsheet or pandas.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Parquet (needs pyarrow).")] = False,
    html: Annotated[bool, typer.Option("--html", help="One page: a table, and the plots.")] = False,
    as_json: JsonOption = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write there, not to stdout. Its suffix says what, where no option does.",
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            "--cell", metavar="N|ID", help="The cell whose plots the page shows, not the last one's."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Every point, not the first 50.")] = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Show what came of a sweep: parameters, what was recorded, state, time and cost of each point.

    What failed comes first. A result is read once: looking again asks only for what is new.
    """
    from dayfly.cli.sweep_table import print_sweep
    from dayfly.runner.directories import cache_directory
    from dayfly.runs.sweep_results import SweepTable, load_table

    asked = {"csv": csv, "parquet": parquet, "json": as_json, "html": html}
    form = _choose_format([form for form, given in asked.items() if given], output)
    sweep, index = _find(name, store, local=local)
    table = load_table(sweep.store, sweep.sweep_id, cache=cache_directory(os.environ) / "results")
    if index is not None:
        table = SweepTable(table.sweep, (table.rows[index],))
    if form is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else None
        print_sweep(table, everything=everything, width=width)
    elif form == "html":
        from dayfly.report.sweep_page import render_sweep

        beside = None if output in {None, _STDOUT} else Path(str(output)).absolute().parent
        _write(output, render_sweep(sweep.store, table, cell=cell, beside=beside).encode("utf-8", "replace"))
    else:
        _write(output, _export(table, form))


def _find(name: str, store: str | None, *, local: bool) -> tuple[Sweep, int | None]:
    """The sweep, and the point; with a hint of its own where the name is one of a file."""
    try:
        return find_sweep(name, store, local=local)
    except RunNotFoundError as error:
        if Path(name).suffix.lower() not in _FORMATS:
            raise
        hint = f"To write a file: dayfly results SWEEP -o {shlex.quote(name)}"
        raise RunNotFoundError(error.what, why=error.why, hint=hint) from error


def _choose_format(asked: list[str], output: str | None) -> str | None:
    """What is to be written, None for the table that people read. Raises UsageError."""
    if len(asked) > 1:
        raise UsageError(
            f"{' and '.join(f'--{form}' for form in asked)} cannot be written at once.", hint="Ask for one."
        )
    to_stdout = output in {None, _STDOUT}
    suffix = "" if output is None else Path(output).suffix.lower()
    named = _FORMATS.get(suffix)
    form = asked[0] if asked else named
    if named not in {None, form}:
        raise UsageError(
            f"--{form} is not what a file named {output} holds.",
            why=f"A name that ends in {suffix} says that it is {_CALLED[named or '']}.",
            hint=f"Leave out --{form}, or let the name end in .{form}.",
        )
    if output is not None and form is None:
        raise UsageError(
            f"It is not said what {'standard output' if to_stdout else output} is to hold.",
            hint="Add --csv, --parquet, --json or --html, or end its name in one of these.",
        )
    if form in {"parquet", "html"} and to_stdout and sys.stdout.isatty():
        raise UsageError(
            f"--{form} is not for a terminal.", hint=f"Write it to a file: dayfly results -o sweep.{form}"
        )
    return form


def _export(table: SweepTable, form: str) -> bytes:
    from dayfly.report import sweep_exports

    if form == "parquet":
        return sweep_exports.to_parquet(table)
    text = sweep_exports.to_csv(table) if form == "csv" else f"{sweep_exports.to_json(table)}\n"
    return text.encode("utf-8", "replace")


def _write(target: str | None, content: bytes) -> None:
    """To a file, or to stdout. What a file held stays until all of the new is there."""
    from dayfly.runs.atomic import write_atomically

    if target is None or target == _STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    path = Path(target).resolve()
    try:
        if path.is_file() or not path.exists():
            write_atomically(path, content)
        else:  # such as a pipe
            path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{target} cannot be written.", why=str(error.strerror)) from error
    typer.echo(target)

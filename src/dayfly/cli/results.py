"""`dayfly results`: what came of a sweep, as a table, a file, or a page."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli.options import JsonOption, LocalOption, StoreOption, open_stores, tell_unheard

if TYPE_CHECKING:
    from dayfly.backends.stores import Stores
    from dayfly.runs.store import Store

_STDOUT = "-"


def results(
    name: Annotated[
        str, typer.Argument(metavar="SWEEP", help="A sweep id, a prefix that only one has, or `last`.")
    ] = "last",
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
    from dayfly.runs.sweep_results import load_table

    found, sweep_id = find_sweep(open_stores(store, local=local), name)
    table = load_table(found, sweep_id, cache=cache_directory(os.environ) / "results")
    if csv is not None:
        _write(csv, sweep_exports.to_csv(table).encode("utf-8", "replace"))
    if parquet is not None:
        _write(parquet, sweep_exports.to_parquet(table))
    if html is not None:
        from dayfly.report.sweep_page import render_sweep

        beside = None if html == _STDOUT else Path(html).absolute().parent
        _write(html, render_sweep(found, table, cell=cell, beside=beside).encode("utf-8", "replace"))
    if as_json:
        typer.echo(sweep_exports.to_json(table))
    elif csv is parquet is html is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else None
        print_sweep(table, everything=everything, width=width)


def find_sweep(stores: Stores, name: str) -> tuple[Store, str]:
    """The store that has the sweep which `name` means, and its id. Raises RunNotFoundError."""
    from dayfly.backends.everywhere import ANSWERS_WITHIN_S, Question
    from dayfly.errors import DayflyError, RunNotFoundError
    from dayfly.runs.catalog import choose_id
    from dayfly.runs.sweep_results import find_sweep_ids

    def ask() -> tuple[Store, list[str]]:
        cloud = stores.cloud
        assert cloud is not None  # noqa: S101 -- there is something to open
        return cloud, find_sweep_ids(cloud, name)

    question = Question(ask, "The store of the sweeps in AWS") if stores.open_cloud is not None else None
    homes = dict.fromkeys(find_sweep_ids(stores.local, name), stores.local)
    if question is not None:
        try:
            cloud, ids = question.answer(ANSWERS_WITHIN_S)
            homes = dict.fromkeys(ids, cloud) | homes
        except DayflyError as error:
            if not homes:
                raise
            tell_unheard(error)
    if name == "last" and homes:
        name = max(homes)
    if not homes:
        raise RunNotFoundError(
            "There are no sweeps yet." if name == "last" else f"There is no sweep {name!r}.",
            why=f"Looked in {stores.words}.",
            hint="Start one with: dayfly sweep NOTEBOOK -p alpha=0.1,0.2",
        )
    sweep_id = choose_id(name, homes, stores.words)
    return homes[sweep_id], sweep_id


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

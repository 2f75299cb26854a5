"""`dayfly open`, `dayfly fetch`, `dayfly verify` and `dayfly diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dayfly.cli.options import JsonOption, LocalOption, RunArgument, StoreOption, find_named, find_run


def open_run(
    name: RunArgument = "last",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the page there and open nothing.")
    ] = None,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Open the executed notebook as a page in the browser.

    Nothing in the page acts: scripts do not run, so formulas stay TeX and widgets stay still.
    """
    from dayfly.cli.text import to_stderr
    from dayfly.errors import UsageError
    from dayfly.report.page import open_page, render_page

    run = find_run(name, store, local=local)
    page = render_page(run)
    if html is not None:
        try:
            html.write_text(page, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{html} cannot be written.", why=str(error.strerror)) from error
        typer.echo(str(html))
        return
    file, opened = open_page(run.run_id, page)
    typer.echo(str(file))
    if not opened:
        to_stderr("No browser could be started here; open the file above.")


def fetch(
    name: RunArgument = "last",
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Where to; a folder named by the run id when not given."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that differ.")] = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Copy the executed notebook and the outputs into a directory. Nothing is overwritten unasked.

    Of a sweep: one folder for each point that has ended.
    """
    from dayfly.backends.sweep_view import Sweep
    from dayfly.cli.text import to_stderr
    from dayfly.runs.fetching import fetch_run

    run = find_named(name, store, local=local)
    if isinstance(run, Sweep):
        from dayfly.cli.sweep_manage import fetch_sweep

        fetch_sweep(run, directory or Path(run.sweep_id), overwrite=force)
        return
    target = directory or Path(run.run_id)
    written = 0
    for path in fetch_run(run.store, run.run_id, target, overwrite=force):
        typer.echo(str(path))
        written += 1
    if not written:
        to_stderr(f"Everything is in {target} already.")


def verify(
    name: RunArgument = "last",
    as_json: JsonOption = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Check that files and hashes still match the receipt. Exit code 1 when they do not."""
    import json

    from dayfly.cli.text import safe_text, to_stderr

    run = find_run(name, store, local=local)
    problems = run.verify()
    if as_json:
        typer.echo(json.dumps({"run_id": run.run_id, "matches": not problems, "problems": problems}))
    elif problems:
        to_stderr(f"✗ {run.run_id} does not match its receipt.")
        for problem in problems:
            typer.echo(safe_text(problem))
    else:
        receipt = run.receipt
        count = len(receipt.files) if receipt else 0
        to_stderr(f"✓ {run.run_id} matches its receipt ({count} files and streams).")
    if problems:
        raise typer.Exit(1)


def diff(
    one: Annotated[str, typer.Argument(metavar="RUN", help="A run.")],
    other: Annotated[str, typer.Argument(metavar="RUN", help="Another run.")],
    outputs: Annotated[bool, typer.Option("--outputs/--no-outputs", help="Compare outputs too.")] = True,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Compare two executed notebooks cell by cell, sources and outputs. Exit code 1 when they differ."""
    import sys

    from dayfly.cli.text import to_stderr
    from dayfly.report.difference import describe_difference

    first, second = find_run(one, store, local=local), find_run(other, store, local=local)
    text = describe_difference(first, second, outputs=outputs, colours=sys.stdout.isatty())
    if not text:
        to_stderr(f"No differences between {first.run_id} and {second.run_id}.")
        return
    typer.echo(text, nl=False)
    raise typer.Exit(1)

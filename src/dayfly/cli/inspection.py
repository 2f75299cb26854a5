"""`dayfly inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dayfly.cli.options import JsonOption


def inspect(
    notebook: Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="A notebook.")],
    as_json: JsonOption = False,
) -> None:
    """Show what a notebook takes and needs: parameters, types, defaults, kernel, cells."""
    from dayfly.cli.text import print_table, safe_text
    from dayfly.errors import UsageError
    from dayfly.runner.inspection import inspect_parameters
    from dayfly.runner.notebook import kernel_name_of, language_of, parse_notebook, will_execute

    try:
        parsed = parse_notebook(notebook.read_bytes(), str(notebook))
    except OSError as error:
        raise UsageError(f"{notebook} cannot be read.", why=str(error.strerror)) from error
    parameters = inspect_parameters(parsed)
    cells = parsed["cells"]
    facts = {
        "kernel": kernel_name_of(parsed),
        "language": language_of(parsed) or None,
        "cells": len(cells),
        "executed": sum(will_execute(cell) for cell in cells),
    }
    if as_json:
        listed = None if parameters is None else [vars(parameter) for parameter in parameters]
        typer.echo(json.dumps({"notebook": str(notebook), **facts, "parameters": listed}, indent=1))
        return
    typer.echo(typer.style(str(notebook), bold=True))
    typer.echo(f"kernel      {facts['kernel'] or 'none named'} ({facts['language'] or 'unknown language'})")
    typer.echo(f"cells       {facts['cells']}, of which {facts['executed']} are executed")
    if parameters is None:
        typer.echo("parameters  none: no cell is tagged `parameters`")
        return
    typer.echo("parameters")
    rows = [
        [
            f"  {parameter.name}",
            parameter.type or "any",
            safe_text(parameter.default),
            safe_text(parameter.help),
        ]
        for parameter in parameters
    ]
    print_table(["  NAME", "TYPE", "DEFAULT", "MEANING"], rows)

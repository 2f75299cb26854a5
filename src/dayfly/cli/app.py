"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from dayfly._version import __version__
from dayfly.cli import compare, configuration, inspection, look, manage, run

app = typer.Typer(
    name="dayfly",
    help="Run a notebook on a machine that lives exactly as long as the notebook does.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dayfly {__version__}")
        raise typer.Exit


@app.callback()
def dayfly(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run a notebook on a machine that lives exactly as long as the notebook does."""


for module in (run, inspection, look, manage, compare, configuration):
    module.register(app)

"""`dayfly init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where the project lies or shall lie.", show_default=False)
    ] = Path(),
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="IMAGE",
            help="The image that the Dockerfile builds on. Default: python:3.12-slim-bookworm.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a directory a project: settings, Dockerfile, packages, an example. Nothing is overwritten."""
    from dayfly.cli.text import print_table
    from dayfly.errors import UsageError
    from dayfly.project.scaffold import begin_repository, plan_files, write_files

    root = directory.expanduser().absolute()
    if root == Path.home() or root == Path(root.anchor):
        raise UsageError(
            f"{root} should not be a project.",
            why="All that lies in it would belong to the project.",
            hint="Name a folder for it: dayfly init my-project",
        )
    try:
        began = begin_repository(root)
    except OSError as error:
        raise UsageError(f"{root} cannot be made a directory.", why=str(error.strerror)) from error
    steps = write_files(root, plan_files(root, base))
    if began:
        typer.echo(f"began a Git repository in {root}")
    print_table(["FILE", "DONE", ""], [[step.name, step.done, step.about] for step in steps])
    if base and any(step.name == "Dockerfile" and step.done == "kept" for step in steps):
        typer.echo("The Dockerfile was there already: --base has changed nothing.", err=True)
    _say_what_next(directory, root)


def _say_what_next(directory: Path, root: Path) -> None:
    notebook = min((file.name for file in root.glob("*.ipynb")), default="NOTEBOOK.ipynb")
    typer.echo("\nnext:")
    if root != Path.cwd():
        typer.echo(f"  cd {directory}")
    typer.echo("  dayfly lab")
    typer.echo(f"  dayfly run {notebook}")

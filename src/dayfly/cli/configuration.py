"""`dayfly config`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from dayfly.cli.options import JsonOption


def config(
    as_json: JsonOption = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of dayfly.toml.")] = False,
) -> None:
    """Show each setting, its value, and where that came from."""
    from dayfly.cli.text import print_table
    from dayfly.project.load import load_project
    from dayfly.project.settings import ImageSettings, Settings, json_schema

    if schema:
        typer.echo(json.dumps(json_schema(), indent=1))
        return
    project = load_project(Path.cwd(), os.environ)
    values = project.settings.model_dump(mode="json")
    if as_json:
        listed = {name: {"value": value, "source": project.sources[name]} for name, value in values.items()}
        typer.echo(json.dumps({"file": str(project.file or "") or None, "settings": listed}, indent=1))
        return
    typer.echo(f"project file: {project.file or 'none (dayfly.toml, or [tool.dayfly] in pyproject.toml)'}")
    rows = [
        [name, "" if value is None or value == [] else str(value), project.sources[name]]
        for name, value in values.items()
        if name != "image"
    ]
    given = project.settings.image.model_fields_set
    rows += [
        [
            f"image.{name}",
            "" if value is None or value == {} else str(value),
            project.sources["image"] if name in given else "default",
        ]
        for name, value in values["image"].items()
    ]
    print_table(["SETTING", "VALUE", "FROM"], rows)
    typer.echo()
    for name, field in Settings.model_fields.items():
        typer.echo(f"{typer.style(name, bold=True)}  {field.description}")
    for name, field in ImageSettings.model_fields.items():
        typer.echo(f"{typer.style(f'image.{name}', bold=True)}  {field.description}")

"""What several commands share: options, and finding the project and its store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayfly.errors import UsageError

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.backends.stores import Stores
    from dayfly.backends.sweep_view import Sweep
    from dayfly.errors import DayflyError
    from dayfly.runs.run import Run
    from dayfly.runs.store import Store

StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="DIR|URL", help="Where run directories live.", show_default=False),
]
LocalOption = Annotated[
    bool, typer.Option("--local", help="Only runs on this machine; AWS is not asked.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run id, a prefix that only one run has, or `last`.")
]


def open_store_from(store: str | None) -> Store:
    """The store that a flag, the environment or the project names; AWS only by its URL."""
    return open_stores(store, local=store is None).local


def open_stores(store: str | None, *, local: bool = False) -> Stores:
    """The project's stores; with `local`, and where `store` or the environment names one, that one alone."""
    from dayfly.backends.stores import project_stores
    from dayfly.project.load import load_project

    # A mistake in another setting must not keep anybody from finding the runs.
    only = ("store",) if local else ("store", "aws")
    return project_stores(load_project(Path.cwd(), os.environ, {"store": store}, only=only), os.environ)


def find_run(name: str, store: str | None, *, local: bool = False) -> Run:
    """The run that the user means, in whichever store it is. Raises RunConflictError for a whole sweep."""
    from dayfly.backends.sweep_names import not_a_run
    from dayfly.runs.run import Run

    found = find_named(name, store, local=local)
    if not isinstance(found, Run):
        raise not_a_run(found)
    return found


def find_named(name: str, store: str | None, *, local: bool = False, of_sweeps: bool = False) -> Run | Sweep:
    """The run or sweep that the user means: an id, a prefix, `last`; `S[7]` and `S.7` are a point's.

    With `of_sweeps`, `last` is the last sweep.
    """
    from dayfly.backends import sweep_names

    found, unheard = sweep_names.find_named(open_stores(store, local=local), name, of_sweeps=of_sweeps)
    if unheard is not None:
        tell_unheard(unheard)
    return found


def tell_unheard(error: DayflyError) -> None:
    """Say on stderr that one of two stores could not be looked at, and why."""
    from dayfly.cli.text import safe_text, to_stderr

    to_stderr(f"warning: the runs in AWS are not looked at: {safe_text(error.what)}")
    for line in safe_text("\n".join(part for part in (error.why, error.hint) if part)).splitlines():
        to_stderr(f"  {line}")


def settings_among(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The flags among a command's arguments: what has the name of a setting is one."""
    from dayfly.project.settings import Settings

    return {name: value for name, value in arguments.items() if name in Settings.model_fields}


def open_aws_of_project() -> Aws:
    """The account and region of the project that the current directory lies in. Raises AwsError."""
    from dayfly.aws.account import open_project_aws
    from dayfly.project.load import load_project

    return open_project_aws(load_project(Path.cwd(), os.environ, only=("aws",)))


def parse_parameters(pairs: list[str], files: list[Path]) -> dict[str, Any]:
    """Parameters from `-f` files, then from `-p name=value`, the later over the earlier.

    A value is YAML, as with papermill; its text is kept for parameters that are declared as text.
    """
    from dayfly.backends.yaml_values import parse_yaml
    from dayfly.runner.inspection import TypedText

    parameters: dict[str, Any] = {}
    for file in files:
        parameters.update(_read_parameters(file))
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip().isidentifier():
            raise UsageError(
                f"{pair!r} is no parameter.", hint="Write -p name=value, for instance -p alpha=0.1"
            )
        parameters[name.strip()] = TypedText(text, parse_yaml(text, f"-p {pair}"))
    return parameters


def _read_parameters(file: Path) -> Mapping[str, Any]:
    from dayfly.backends.yaml_values import parse_yaml

    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The parameter file {file} cannot be read.", why=str(error)) from error
    values = parse_yaml(content, str(file))
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UsageError(
            f"The parameter file {file} holds no parameters.",
            why="It should be YAML or JSON with names and values, such as `alpha: 0.1`.",
        )
    return values

"""What the documentation takes from the code is what the code says today, and nothing is left out."""

import re
from pathlib import Path

import pytest
import typer

from dayfly import errors
from dayfly.cli.app import make_app
from dayfly.project.settings import Settings
from scripts import cli_reference
from tests.docs.conftest import ROOT


@pytest.mark.parametrize("file", cli_reference.FILES, ids=lambda file: file.name)
def test_a_generated_file_is_current(file: Path) -> None:
    """When it is not: make docs."""
    assert file.read_text(encoding="utf-8") == cli_reference.FILES[file]()


def test_the_exit_codes_of_the_reference_are_those_of_the_error_classes() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in classes if issubclass(kind, errors.DayflyError)}
    assert set(cli_reference.exit_codes()) == codes | {0}


def test_a_newcomer_meets_every_command_in_the_readme_or_the_tutorial() -> None:
    pages = (ROOT / "README.md").read_text("utf-8") + (ROOT / "docs/tutorial.md").read_text("utf-8")
    group = typer.main.get_command(make_app())
    commands = set(vars(group)["commands"])
    assert not {name for name in commands if not re.search(rf"\bdayfly {name}\b", pages)}


def test_every_setting_is_explained() -> None:
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    assert not [name for name in Settings.model_fields if f"| `{name}` |" not in page]


def test_the_types_of_the_errors_are_told_apart_by_a_docstring() -> None:
    """`docs/library.md` sends its readers to `dayfly.errors`."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert all(kind.__doc__ for kind in kinds)

"""Writing settings into a project's file: comments, order and everything else stay as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dayfly.errors import ConfigError
from dayfly.project.load import FILE, PYPROJECT

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Table


def edit_table(file: Path | None, folder: Path, table: str, values: Mapping[str, str]) -> Path | None:
    """Set `values` in a table of the project's `file`, or of a new dayfly.toml in `folder`.

    What is there with the same value is left alone. Returns the file that was written, None when nothing
    had to be. Raises ConfigError when the file cannot be read or written.
    """
    from tomlkit import document, dumps, parse
    from tomlkit.exceptions import TOMLKitError

    target = file or folder / FILE
    try:
        text = target.read_text(encoding="utf-8") if target.exists() else ""
        settings = parse(text) if text else document()
        place = _table(settings, (*_prefix(target), table))
        if all(place.get(key) == value for key, value in values.items()):
            return None
        for key, value in values.items():
            place[key] = value
        _replace(target, dumps(settings))
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigError(f"{target} is not valid TOML.", why=str(error)) from error
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written.",
            why=str(error),
            hint=f"Write it yourself:\n[{table}]\n" + "\n".join(f'{key} = "{values[key]}"' for key in values),
        ) from error
    return target


def _prefix(file: Path) -> tuple[str, ...]:
    return ("tool", "dayfly") if file.name == PYPROJECT else ()


def _table(settings: TOMLDocument, path: tuple[str, ...]) -> Table:
    """The table at `path`, made where it is not there."""
    from tomlkit import table

    place: Any = settings
    for number, name in enumerate(path):
        if name not in place:
            place[name] = table(is_super_table=number < len(path) - 1)
        place = place[name]
    return place  # type: ignore[no-any-return]


def _replace(file: Path, text: str) -> None:
    """Whole or not at all; through a link, with the mode that it has."""
    target = file.resolve()
    scratch = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        scratch.write_text(text, encoding="utf-8")
        if target.exists():
            scratch.chmod(target.stat().st_mode)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)

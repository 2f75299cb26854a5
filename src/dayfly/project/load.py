"""Finding the project and putting its settings together: flags over environment over file over default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from dayfly.errors import ConfigError
from dayfly.project.settings import RESERVED_VARIABLES, AwsSettings, ImageSettings, Settings, SweepSettings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE = "dayfly.toml"
PYPROJECT = "pyproject.toml"
_PREFIX = "DAYFLY_"
_TABLES: dict[str, type[BaseModel]] = {
    "image": ImageSettings,
    "aws": AwsSettings,
    "sweep": SweepSettings,
}


@dataclass(frozen=True, kw_only=True)
class Project:
    """Where the project is (None outside one), its settings, and where each value came from."""

    root: Path | None
    file: Path | None
    settings: Settings
    sources: Mapping[str, str]

    def resolve(self, path: str) -> Path:
        """A path from the settings, relative to the project."""
        return ((self.root or Path.cwd()) / Path(path).expanduser()).absolute()


@dataclass(frozen=True)
class _Value:
    """A raw value of a setting and where it stands, in words."""

    raw: Any
    source: str


def load_project(
    start: Path,
    environ: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    *,
    only: str | Collection[str] | None = None,
) -> Project:
    """The project that `start` (a directory) lies in, with the settings for one command.

    `flags` has settings by name; None counts as not given. With `only`, no others are looked at:
    a mistake in one must not keep `dayfly stop` from finding the store. Raises ConfigError that names the
    file and line, variable or flag, what is wrong, and what is allowed.
    """
    found = _find_file(start.absolute())
    values: dict[str, _Value] = {}
    if found is not None:
        file, table, text = found
        for key, raw in table.items():
            values[key] = _Value(raw, f"{file.name}, line {_line_of(text, key, file.name == PYPROJECT)}")
    for variable, raw in sorted(environ.items()):
        if variable.startswith(_PREFIX) and variable not in RESERVED_VARIABLES:
            name = variable.removeprefix(_PREFIX).lower()
            value = _Value(raw, f"environment, {variable}")
            if not _set_in_table(values, name, value):
                values[name] = value
    for key, raw in (flags or {}).items():
        if raw is not None:
            values[key] = _Value(raw, f"flag, --{key.replace('_', '-')}")
    if only is not None:
        wanted = {only} if isinstance(only, str) else set(only)
        values = {key: value for key, value in values.items() if key in wanted}
    settings = _validate(values)
    sources = {key: values[key].source if key in values else "default" for key in Settings.model_fields}
    root = found[0].parent if found else None
    return Project(root=root, file=found[0] if found else None, settings=settings, sources=sources)


def _set_in_table(values: dict[str, _Value], name: str, value: _Value) -> bool:
    """Set `image_base` in the table `image`, and so on; False when it is no setting of a table."""
    table, _, key = name.partition("_")
    if table not in _TABLES or key not in _TABLES[table].model_fields:
        return False
    before = values.get(table)
    known = before.raw if before is not None and isinstance(before.raw, dict) else {}
    values[table] = _Value({**known, key: value.raw}, value.source)
    return True


def _find_file(start: Path) -> tuple[Path, dict[str, Any], str] | None:
    """The nearest project file at or above `start`, its table and its text."""
    for folder in (start, *start.parents):
        for name in (FILE, PYPROJECT):
            file = folder / name
            if not file.is_file():
                continue
            table, text = _read(file)
            if name == FILE:
                return file, table, text
            tool = table.get("tool")
            own = tool.get("dayfly") if isinstance(tool, dict) else None
            if isinstance(own, dict):
                return file, own, text
    return None


def _read(file: Path) -> tuple[dict[str, Any], str]:
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if file.name == PYPROJECT and "[tool.dayfly" not in file.read_bytes().decode("utf-8", "replace"):
            return {}, ""  # not ours to complain about
        # The parser names the line, save for one: the last.
        last = file.read_bytes().rstrip().count(b"\n") + 1
        why = str(error).replace("at end of document", f"at end of document, line {last}")
        raise ConfigError(
            f"{file} is not valid TOML.", why=why, hint="See https://toml.io for the format."
        ) from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read.", why=str(error)) from error


def _line_of(text: str, key: str, in_pyproject: bool) -> int:  # noqa: FBT001 -- private, one caller
    """The line on which a top-level key of our table is set; 1 when it cannot be found."""
    inside = not in_pyproject
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        if header:
            name = header[1].replace(" ", "")
            inside = name == "tool.dayfly"
            if name.removeprefix("tool.dayfly.") == key:
                return number
        elif inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return 1


def _validate(values: Mapping[str, _Value]) -> Settings:
    try:
        return Settings.model_validate({key: value.raw for key, value in values.items()})
    except ValidationError as error:
        problem = error.errors()[0]
        key = str(problem["loc"][0])
        value = values[key]
        table = _TABLES.get(key)
        if table is not None and len(problem["loc"]) > 1 and isinstance(value.raw, dict):
            inner = str(problem["loc"][1])
            value = _Value(value.raw.get(inner), f"[{key}] in {value.source}")
            raise _explain(inner, value, problem, table) from error
        raise _explain(key, value, problem, Settings) from error


def _explain(key: str, value: _Value, problem: ErrorDetails, model: type[BaseModel]) -> ConfigError:
    kind, message = problem["type"], problem["msg"]
    known = list(model.model_fields)
    if kind == "extra_forbidden":
        import difflib

        match = difflib.get_close_matches(key, known, 1)
        return ConfigError(
            f"Unknown setting {key!r} ({value.source})." + (f" Did you mean {match[0]!r}?" if match else ""),
            why=f"The settings are: {', '.join(known)}.",
            hint="See what each means with: dayfly config --schema",
        )
    said = message.removeprefix("Value error, ")
    return ConfigError(
        f"The setting {key!r} cannot be {value.raw!r} ({value.source}).",
        why=f"{said[:1].upper()}{said[1:]}.",
        hint=model.model_fields[key].description or "",
    )

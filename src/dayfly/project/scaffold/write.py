"""Writing the files of a new project: none that is there is changed, save for lines that are added."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dayfly.errors import UsageError
from dayfly.project.scaffold.files import File

_GIT_S = 30


@dataclass(frozen=True, kw_only=True)
class Step:
    """What was done with one file, and what it is for or which lines it got."""

    name: str
    done: Literal["written", "kept", "extended"]
    about: str


def begin_repository(root: Path) -> bool:
    """Make `root` a Git repository when it lies in none; whether that was done. Raises UsageError."""
    root.mkdir(parents=True, exist_ok=True)
    if any((folder / ".git").exists() for folder in (root, *root.parents)):
        return False
    try:
        subprocess.run(
            ["git", "init", "--quiet", str(root)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_GIT_S,
            text=True,
        )
    except FileNotFoundError as error:
        raise UsageError(
            "There is no git command.",
            why="A project is a Git repository: a run remembers the commit that it was made of.",
            hint="Install Git (https://git-scm.com/downloads).",
        ) from error
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or str(error)
        raise UsageError(f"{root} cannot be made a Git repository.", why=said.strip()) from error
    return True


def write_files(root: Path, files: Iterable[File]) -> list[Step]:
    """Write those of the files that are not there. Raises UsageError when one cannot be written."""
    try:
        return [_write(root / file.name, file) for file in files]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The project in {root} cannot be written.", why=str(error)) from error


def _write(path: Path, file: File) -> Step:
    try:
        with path.open("x", encoding="utf-8") as target:
            target.write(file.content)
    except FileExistsError:
        return _extend(path, file) if file.lines else Step(name=file.name, done="kept", about=file.meaning)
    return Step(name=file.name, done="written", about=file.meaning)


def _extend(path: Path, file: File) -> Step:
    before = path.read_text(encoding="utf-8")
    there = {line.strip().strip("/") for line in before.splitlines()}
    missing = [line for line in file.content.splitlines() if line.strip("/") not in there]
    if not missing:
        return Step(name=file.name, done="kept", about=file.meaning)
    gap = "" if not before or before.endswith("\n") else "\n"
    with path.open("a", encoding="utf-8") as target:
        target.write(gap + "\n".join(missing) + "\n")
    return Step(name=file.name, done="extended", about=f"with {', '.join(missing)}")

"""Which files a new project gets: computed first, from what is there, and written by nobody here."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from dayfly.project.load import FILE, PYPROJECT
from dayfly.project.scaffold.dockerfile import DEFAULT_BASE, dependency_file, make_dockerfile

__all__ = ["DEFAULT_BASE", "File", "plan_files"]

EXAMPLE = "example.ipynb"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a new project: what it is for, and what is in it.

    `lines` marks a file to which missing lines are added when it is there already.
    """

    name: str
    content: str
    meaning: str
    lines: bool = False


def plan_files(root: Path, base: str | None = None) -> tuple[File, ...]:
    """The files that a project in `root` should have; some of them may be there already."""
    files = []
    if not _has_table(root / PYPROJECT):
        files.append(File(name=FILE, content=_template(FILE), meaning="the project's settings"))
    has_dockerfile = (root / "Dockerfile").exists()
    needs = dependency_file(root)
    if needs is not None or not has_dockerfile:
        name = needs or "requirements.txt"
        files.append(
            File(name=name, content=_template("requirements.txt"), meaning="the packages of the notebooks")
        )
    dockerfile = "" if has_dockerfile else make_dockerfile(root, base)
    files += [
        File(name="Dockerfile", content=dockerfile, meaning="the project's image"),
        File(name=".dockerignore", content=_template("dockerignore"), meaning="what stays out of it"),
        File(
            name="compose.yaml",
            content=_template("compose.yaml"),
            meaning="JupyterLab in the image, without dayfly",
        ),
        File(name=".gitignore", content=_template("gitignore"), meaning="what stays out of Git", lines=True),
    ]
    if (root / EXAMPLE).exists() or not has_notebooks(root):
        files.append(
            File(name=EXAMPLE, content=_template("example.json"), meaning="a notebook to begin with")
        )
    return tuple(files)


def has_notebooks(root: Path) -> bool:
    """Whether somebody has worked here already."""
    return any(any(root.glob(pattern)) for pattern in ("*.ipynb", "[!.]*/*.ipynb"))


def _has_table(pyproject: Path) -> bool:
    """Whether dayfly's settings stand there, and need no file of their own."""
    try:
        tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return isinstance(tool, dict) and "dayfly" in tool


def _template(name: str) -> str:
    return (resources.files(__package__ or "") / "templates" / name).read_text(encoding="utf-8")

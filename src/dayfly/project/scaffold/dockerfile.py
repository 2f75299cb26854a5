"""The Dockerfile of a new project, for whatever file says what the project needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

DEFAULT_BASE = "python:3.12-slim-bookworm"
CONDA_BASE = "mambaorg/micromamba:2"
_NEEDED = ("ipykernel", "jupyterlab")
_CONDA_FILES = ("environment.yml", "environment.yaml")

_HEAD = """\
# The project's image: what its notebooks need, and none of the notebooks. They are mounted when they run.
FROM {base}
"""
_VENV = """
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/venv
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH
"""
_PIP = """
# Only these files decide whether the packages are installed again.
COPY {files} /tmp/project/
RUN {install}
"""
_CONDA = """
# Only this file decides whether the packages are installed again.
COPY {file} /tmp/environment.yml
RUN micromamba install --yes --name base --file /tmp/environment.yml && micromamba clean --all --yes
ENV PYTHONUNBUFFERED=1 PATH=/opt/conda/bin:$PATH
"""
_MISSING = """
# What dayfly needs, and {file} does not name.
RUN {install} {packages}
"""
_USER = """
# Notebooks run as a user who may not change the image.
RUN useradd --create-home --uid 1000 --non-unique notebook
USER notebook
WORKDIR /dayfly/project
"""


def dependency_file(root: Path) -> str | None:
    """The file that says what the project needs; None when no file does."""
    if (root / "requirements.txt").is_file():
        return "requirements.txt"
    for name in _CONDA_FILES:
        if (root / name).is_file():
            return name
    return "pyproject.toml" if _pyproject_says(root / "pyproject.toml") else None


def make_dockerfile(root: Path, base: str | None) -> str:
    """A Dockerfile that installs what the project's own file names, else `requirements.txt`.

    `base` is the image of its FROM; None stands for one that suits the file.
    """
    file = dependency_file(root)
    named = file or "requirements.txt"
    if named in _CONDA_FILES:
        parts = [_HEAD.format(base=base or CONDA_BASE), "USER root\n", _CONDA.format(file=named)]
        install = "micromamba install --yes --name base --channel conda-forge"
    else:
        parts = [_HEAD.format(base=base or DEFAULT_BASE), "USER root\n" if base else "", _VENV]
        parts.append(_pip_part(root, named))
        install = "pip install"
    if file and (missing := _missing_packages(root / file)):
        parts.append(_MISSING.format(file=file, install=install, packages=" ".join(missing)))
    return "".join([*parts, _USER])


def _pip_part(root: Path, named: str) -> str:
    if named == "requirements.txt":
        return _PIP.format(files=named, install="pip install -r /tmp/project/requirements.txt")
    if (root / "uv.lock").is_file():
        steps: tuple[str, ...] = (
            "pip install uv",
            "cd /tmp/project",
            "uv export --quiet --frozen --no-emit-project --output-file locked.txt",
            "pip install -r locked.txt",
        )
        return _PIP.format(files=f"{named} uv.lock", install=" \\\n && ".join(steps))
    # pip has no option that installs the dependencies of a project without the project.
    table = "tomllib.load(open('pyproject.toml', 'rb'))['project']"
    listing = f"import tomllib; print(*{table}['dependencies'], sep='\\n')"
    steps = (
        "cd /tmp/project",
        f'python -c "{listing}" > requirements.txt',
        "pip install -r requirements.txt",
    )
    return _PIP.format(files=named, install=" \\\n && ".join(steps))


def _pyproject_says(file: Path) -> bool:
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return isinstance(project, dict) and isinstance(project.get("dependencies"), list)


def _missing_packages(file: Path) -> list[str]:
    """What dayfly needs and the file does not name."""
    text = file.read_text(encoding="utf-8", errors="replace").lower()
    lines = [line.partition("#")[0] for line in text.splitlines()]
    return [
        name for name in _NEEDED if not any(re.search(rf"(?<![\w-]){name}(?![\w-])", line) for line in lines)
    ]

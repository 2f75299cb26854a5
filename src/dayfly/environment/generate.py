"""A Dockerfile for a project that has none, from the file that names its packages."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dayfly.errors import ImageError
from dayfly.project.scaffold.dockerfile import CONDA_BASE, DEFAULT_BASE

CACHE = "--mount=type=cache,target=/root/.cache "
CONDA_CACHE = "--mount=type=cache,target=/opt/conda/pkgs "
NO_CACHE = "export UV_NO_CACHE=1 PIP_NO_CACHE_DIR=1; "
"""What stands in place of a cache mount for the builder that knows none."""
SOURCES = ("requirements.txt", "environment.yml", "environment.yaml", "pyproject.toml")
"""What a Dockerfile can be made of; the first that is there counts."""
_IPYKERNEL = re.compile(r"\bipykernel\b", re.IGNORECASE)
_LOCAL = re.compile(r"^(-e|--editable|-f|--find-links|\.|/|~)|@\s*file:|^file:|^[^#\s]*\.(whl|tar\.gz|zip)\b")
_INCLUDED = re.compile(r"^(?:-r|--requirement|-c|--constraint)[=\s]*(\S+)")
_LOCAL_SOURCE = re.compile(r'source = \{ (?:editable|directory|virtual|path) = "(?!\.")')


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A Dockerfile, the file it was made of, and the files it copies; None for the whole context."""

    dockerfile: str
    source: str
    files: tuple[str, ...] | None


def generate_dockerfile(root: Path, base: str | None) -> Generated:
    """A Dockerfile from what names the project's packages. Raises ImageError where nothing does."""
    source = next((name for name in SOURCES if _counts(root / name)), None)
    if source is None:
        raise ImageError(
            f"{root} says nothing of the image that its notebooks run in.",
            why=f"There is neither a Dockerfile nor one of {', '.join(SOURCES)}.",
            hint="Write a requirements.txt with what the notebooks import; "
            "for more, a Dockerfile, or name one: [image] dockerfile in dayfly.toml",
        )
    if source == "requirements.txt":
        return _from_requirements(root, base or DEFAULT_BASE)
    if source == "pyproject.toml":
        return _from_pyproject(root, base or DEFAULT_BASE)
    return _from_conda(root, source, base or CONDA_BASE)


def _counts(file: Path) -> bool:
    if file.name != "pyproject.toml" or not file.is_file():
        return file.is_file()
    try:
        return "project" in tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImageError(f"{file} is not valid TOML.", why=str(error)) from error


def _from_requirements(root: Path, base: str) -> Generated:
    files: dict[str, str] = {}
    local = not _collect(root, "requirements.txt", files)
    extra = "" if any(_IPYKERNEL.search(text) for text in files.values()) else " ipykernel"
    install = f"/opt/venv/bin/uv pip install --python /opt/venv -r requirements.txt{extra}"
    copied = None if local else tuple(files)
    return Generated(
        dockerfile=_python_dockerfile(base, copied, install), source="requirements.txt", files=copied
    )


def _collect(root: Path, name: str, files: dict[str, str]) -> bool:
    """Gather a requirements file and those it includes; False when it needs more of the project."""
    if name in files:
        return True
    try:
        files[name] = (root / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{root / name} cannot be read.", why=str(error)) from error
    for line in files[name].splitlines():
        text = line.strip()
        included = _INCLUDED.match(text)
        if included is None:
            if _LOCAL.search(text):
                return False
            continue
        path = PurePosixPath(name).parent / included[1]
        if "://" in included[1]:
            continue
        if ".." in path.parts or path.is_absolute() or not _collect(root, str(path), files):
            return False
    return True


def _from_pyproject(root: Path, base: str) -> Generated:
    lock = root / "uv.lock"
    files = ["pyproject.toml"]
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    install = "/opt/venv/bin/uv pip install --python /opt/venv -r pyproject.toml"
    local = False
    if lock.is_file():
        files.append("uv.lock")
        text = lock.read_text(encoding="utf-8")
        local = _LOCAL_SOURCE.search(text) is not None
        install = "UV_PROJECT_ENVIRONMENT=/opt/venv /opt/venv/bin/uv sync --frozen --inexact"
        install += " --no-install-project"
    if not _IPYKERNEL.search(text):
        install += " && /opt/venv/bin/uv pip install --python /opt/venv ipykernel"
    copied = None if local else tuple(files)
    return Generated(
        dockerfile=_python_dockerfile(base, copied, install), source="pyproject.toml", files=copied
    )


def _python_dockerfile(base: str, files: tuple[str, ...] | None, install: str) -> str:
    return f"""\
FROM {base}
RUN getent passwd 1000 || useradd --create-home --uid 1000 notebook || adduser -D -u 1000 notebook
RUN {CACHE}python3 -m venv /opt/venv && /opt/venv/bin/python -m pip install 'uv<1'
WORKDIR /opt/project
{_copies(files)}
RUN {CACHE}{install}
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH
USER 1000
"""


def _copies(files: tuple[str, ...] | None, owner: str = "") -> str:
    if files is None:
        return f"COPY {owner}. ./"
    return "\n".join(f"COPY {owner}{file} ./{file}" for file in files)


def _from_conda(root: Path, source: str, base: str) -> Generated:
    try:
        text = (root / source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{root / source} cannot be read.", why=str(error)) from error
    words = [line.strip().removeprefix("- ").strip("\"'") for line in text.splitlines()]
    local = any(_INCLUDED.match(word) or _LOCAL.search(word) for word in words)
    extra = "" if _IPYKERNEL.search(text) else " && micromamba install -y -n base -c conda-forge ipykernel"
    copied = None if local else (source,)
    dockerfile = f"""\
FROM {base}
USER root
WORKDIR /opt/project
{_copies(copied)}
RUN {CONDA_CACHE}micromamba install -y -n base -f {source}{extra}
ENV CONDA_PREFIX=/opt/conda PATH=/opt/conda/bin:$PATH
USER $MAMBA_USER
"""
    return Generated(dockerfile=dockerfile, source=source, files=copied)


def without_cache_mounts(dockerfile: str) -> str:
    """A generated Dockerfile for the builder that knows no cache mounts."""
    return dockerfile.replace(CACHE, NO_CACHE).replace(CONDA_CACHE, "")

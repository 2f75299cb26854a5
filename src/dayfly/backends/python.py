"""Which Python runs a notebook: chosen before anything is created, told, and kept in the receipt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from dayfly.errors import KernelMissingError
from dayfly.runs.request import PythonEnvironment

OWN_ENVIRONMENT = "dayfly's own environment"


def choose_python(
    asked: str | None, *, source: str, folders: list[Path], environ: Mapping[str, str]
) -> PythonEnvironment:
    """The environment for a notebook.

    `asked` is the flag or setting (an executable, a command on PATH, or an environment's folder) and
    `source` where it came from; else the active virtual or conda environment, else `.venv` in one of
    `folders` (the notebook's, the project's), else dayfly's own. Raises KernelMissingError when what
    was asked for is no Python.
    """
    if asked is not None:
        return _asked(asked, source, environ)
    for prefix, words in _candidates(folders, environ):
        executable = prefix / "bin" / "python"
        if executable.exists():
            return PythonEnvironment(executable=str(executable), prefix=str(prefix), source=words)
    return PythonEnvironment(executable=sys.executable, prefix=sys.prefix, source=OWN_ENVIRONMENT)


def _candidates(folders: list[Path], environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if environ.get("VIRTUAL_ENV"):
        yield Path(environ["VIRTUAL_ENV"]), "active virtual environment"
    if environ.get("CONDA_PREFIX"):
        name = environ.get("CONDA_DEFAULT_ENV", "")
        yield Path(environ["CONDA_PREFIX"]), f"active conda environment {name}".rstrip()
    for folder in folders:
        yield folder / ".venv", f".venv in {folder}"


def _asked(asked: str, source: str, environ: Mapping[str, str]) -> PythonEnvironment:
    import shutil

    path = Path(asked).expanduser()
    if path.is_dir():
        executable = (path / "bin" / "python").absolute()
    else:
        found = shutil.which(str(path), path=environ.get("PATH"))
        executable = Path(found).absolute() if found else path.absolute()
    prefix = executable.parent.parent
    is_environment = (prefix / "pyvenv.cfg").is_file() or (prefix / "conda-meta").is_dir()
    if is_environment and executable.exists():
        return PythonEnvironment(executable=str(executable), prefix=str(prefix), source=source)
    try:
        done = subprocess.run(
            [str(executable), "-c", "import sys; print(sys.prefix)"],
            capture_output=True,
            check=True,
            timeout=20,
            text=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelMissingError(
            f"{asked!r} ({source}) is no Python.",
            why=str(error),
            hint="Give a Python executable or the folder of a virtual environment.",
        ) from error
    return PythonEnvironment(executable=str(executable), prefix=done.stdout.strip(), source=source)

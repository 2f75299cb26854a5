"""The virtual environment that the emulated AWS runs in.

It is one of its own because ministack pins its botocore exactly. It is made once, from the package index that
pip or uv uses by default, and kept in a cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dayfly.errors import MissingExtraError

REQUIREMENTS = ("ministack==1.5.33",)
"""With what they need themselves."""
DATA = ("moto==5.2.5",)
"""Without what they need: only their data files are read (instance types, offerings, machine images)."""

_INSTALL_S = 600


def emulator_python(cache: Path) -> Path:
    """The Python that has ministack, in an environment below `cache`; made when it is not there yet.

    May be called by several processes at once: one makes it, the others wait.

    Raises MissingExtraError when it cannot be installed.
    """
    name = hashlib.sha256("\n".join((*REQUIREMENTS, *DATA, sys.version)).encode()).hexdigest()[:12]
    home = cache / f"emulator-{name}"
    python = home / "bin" / "python"
    done = home / "complete"
    if done.exists():
        return python
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"emulator-{name}.lock"):
        if not done.exists():
            _make(home, python)
            done.touch()
    return python


def _make(home: Path, python: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)  # what another that was killed has left
    uv = shutil.which("uv")
    if uv is not None:
        make = [uv, "venv", "--quiet", "--python", sys.executable, str(home)]
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    else:
        make = [sys.executable, "-m", "venv", str(home)]
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(make)
    _run([*install, *REQUIREMENTS])
    _run([*install, "--no-deps", *DATA])


def _run(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
        said, failed = done.stderr.strip() or done.stdout.strip(), done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = f"It took longer than {_INSTALL_S} s.", True
    except OSError as error:
        said, failed = str(error), True
    if failed:
        raise MissingExtraError(
            "The emulated AWS could not be installed.",
            why=f"{' '.join(argv)}\n{said[-2000:]}",
            hint="It needs the package index that pip uses; try again when that can be reached.",
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

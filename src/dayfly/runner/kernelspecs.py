"""Finding kernels in a chosen Python environment, without importing or running anything of it.

Follows Jupyter's data directories (https://docs.jupyter.org/en/latest/use/jupyter-directories.html)
with one difference: `sys.prefix` is that of the environment the notebook is to run in, not ours,
and comes before the user's, as with JUPYTER_PREFER_ENV_PATH. Standard library only: it runs
before the kernel does.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dayfly.errors import KernelMissingError, UsageError

NATIVE = "python3"
"""The kernelspec that every environment with ipykernel has."""
_PYTHON = re.compile(r"^python(3(\.\d+)?)?$")


@dataclass(frozen=True, kw_only=True)
class KernelSpec:
    """How to start a kernel; `argv` still has its `{connection_file}`."""

    name: str
    argv: tuple[str, ...]
    display_name: str
    language: str
    interrupt_mode: str = "signal"
    env: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None

    @property
    def is_ipython(self) -> bool:
        """Whether the kernel is ipykernel's own."""
        return any("ipykernel" in argument for argument in self.argv)


def kernel_directories(prefix: Path | None, environ: Mapping[str, str]) -> list[Path]:
    """Where kernelspecs may lie, strongest first, for the environment at `prefix`."""
    roots = [Path(part) for part in environ.get("JUPYTER_PATH", "").split(os.pathsep) if part]
    if prefix is not None:
        roots.append(prefix / "share" / "jupyter")
    roots.append(_user_data_directory(environ))
    roots += [Path("/usr/local/share/jupyter"), Path("/usr/share/jupyter")]
    return [root / "kernels" for root in roots]


def home_directory(environ: Mapping[str, str]) -> Path:
    """The user's home. Raises UsageError for a user who has none, as in some containers."""
    if environ.get("HOME"):
        return Path(environ["HOME"])
    try:
        return Path.home()
    except RuntimeError as error:
        raise UsageError(
            "It is not known where your home directory is.",
            why=f"HOME is not set, and the system knows no user {os.getuid()}.",
            hint="Set HOME to a directory that you may write to.",
        ) from error


def _user_data_directory(environ: Mapping[str, str]) -> Path:
    if "JUPYTER_DATA_DIR" in environ:
        return Path(environ["JUPYTER_DATA_DIR"])
    home = home_directory(environ)
    if sys.platform == "darwin":
        return home / "Library" / "Jupyter"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "jupyter"


def find_kernelspecs(prefix: Path | None, environ: Mapping[str, str]) -> dict[str, KernelSpec]:
    """Every kernel that can run in the environment at `prefix`, by name."""
    found: dict[str, KernelSpec] = {}
    for directory in kernel_directories(prefix, environ):
        try:
            candidates = sorted(directory.iterdir())
        except OSError:
            continue
        for candidate in candidates:
            spec = _read_spec(candidate)
            if spec is not None:
                found.setdefault(spec.name, spec)
    if prefix is not None and not _belongs_to(found.get(NATIVE), prefix, environ):
        # A python3 of the user's or of the system is another Python than the chosen one.
        found.pop(NATIVE, None)
        if _has_ipykernel(prefix):
            found[NATIVE] = _native_spec()
    return found


def _belongs_to(spec: KernelSpec | None, prefix: Path, environ: Mapping[str, str]) -> bool:
    if spec is None or spec.directory is None:
        return False
    own = [prefix / "share" / "jupyter" / "kernels"]
    own += [Path(part) / "kernels" for part in environ.get("JUPYTER_PATH", "").split(os.pathsep) if part]
    return spec.directory.parent in own


def _native_spec() -> KernelSpec:
    argv = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
    return KernelSpec(name=NATIVE, argv=argv, display_name="Python 3", language="python")


def _has_ipykernel(prefix: Path) -> bool:
    return any((site / "ipykernel").is_dir() for site in site_directories(prefix))


def site_directories(prefix: Path) -> list[Path]:
    """The site-packages folders of the environment at `prefix`, its base's too where it sees them."""
    sites = [*prefix.glob("lib/python3*/site-packages"), *prefix.glob("lib/python3*/dist-packages")]
    config = read_pyvenv(prefix)
    if config.get("include-system-site-packages", "").lower() == "true" and "home" in config:
        base = Path(config["home"]).parent
        sites += [*base.glob("lib/python3*/site-packages"), *base.glob("lib/python3*/dist-packages")]
        if base == Path("/usr"):
            sites += [
                Path("/usr/lib/python3/dist-packages"),
                *Path("/usr/local").glob("lib/python3*/dist-packages"),
            ]
    elif prefix == Path("/usr"):
        sites += [
            Path("/usr/lib/python3/dist-packages"),
            *Path("/usr/local").glob("lib/python3*/dist-packages"),
        ]
    return [site for site in sites if site.is_dir()]


def read_pyvenv(prefix: Path) -> dict[str, str]:
    """The keys of a virtual environment's `pyvenv.cfg`; empty for any other prefix."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _read_spec(directory: Path) -> KernelSpec | None:
    """The kernelspec in `directory`; None for what is none or cannot be read, as Jupyter does."""
    try:
        data: Any = json.loads((directory / "kernel.json").read_bytes())
        return KernelSpec(
            name=directory.name.lower(),
            argv=tuple(data["argv"]),
            display_name=data.get("display_name", directory.name),
            language=data.get("language", ""),
            interrupt_mode=data.get("interrupt_mode", "signal"),
            env=dict(data.get("env") or {}),
            directory=directory,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def load_kernelspec(name: str, *, python: str, prefix: Path | None, environ: Mapping[str, str]) -> KernelSpec:
    """The kernelspec `name` for the environment at `prefix`, its `python` being the executable.

    Raises KernelMissingError with what is installed, or with the command that installs ipykernel.
    """
    specs = find_kernelspecs(prefix, environ)
    spec = specs.get(name.lower())
    if spec is None:
        raise _missing(name, specs, python)
    argv = spec.argv
    if argv and _PYTHON.match(argv[0]):
        argv = (python, *argv[1:])
    return KernelSpec(**{**spec.__dict__, "argv": argv})


def _missing(name: str, specs: Mapping[str, KernelSpec], python: str) -> KernelMissingError:
    installed = ", ".join(f"{spec.name} ({spec.display_name})" for spec in specs.values())
    if NATIVE not in specs and (name == NATIVE or not specs):
        return KernelMissingError(
            f"{python} has no Jupyter kernel {name!r}.",
            why="ipykernel is not installed in that environment."
            + (f" Other kernels: {installed}." if installed else ""),
            hint=f"Install it with: {_install_command(python)}\nor choose another environment with --python.",
        )
    return KernelMissingError(
        f"There is no kernel {name!r}.",
        why=f"Installed: {installed}.",
        hint="Choose one with --kernel NAME, or another environment with --python.",
    )


def _install_command(python: str) -> str:
    prefix = Path(python).parent.parent
    if "uv" in read_pyvenv(prefix):  # environments made by uv have no pip of their own
        return f"uv pip install --python {python} ipykernel"
    return f"{python} -m pip install ipykernel"

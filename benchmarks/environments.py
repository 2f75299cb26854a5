"""A clean virtual environment for each contender, built once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".cache" / "benchmarks"

#: What is installed beside ipykernel. `jupyter execute` comes from nbclient, `jupyter` from jupyter-core.
REQUIREMENTS = {"papermill": ("papermill",), "jupyter": ("nbclient", "jupyter-core"), "dayfly": ()}
#: Their versions are shown with the results.
NOTEWORTHY = (
    "dayfly",
    "papermill",
    "nbclient",
    "nbformat",
    "jupyter_client",
    "jupyter_core",
    "ipykernel",
    "ipython",
    "pyzmq",
    "tornado",
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A virtual environment and the versions of what matters in it."""

    name: str
    path: Path
    versions: dict[str, str]

    @property
    def scripts(self) -> Path:
        """Return the folder of its commands."""
        return self.path / "bin"


def load_environment(name: str, *, rebuild: bool = False, extra: tuple[str, ...] = ()) -> Environment:
    """Return the contender's environment; build it where it is missing or its requirements have changed.

    With `extra` packages, it is another environment.
    """
    requirements = [*REQUIREMENTS[name], "ipykernel", *extra]
    label = "+".join([name, *extra])
    content = [*requirements, sys.version]
    if name == "dayfly":
        wheel = build_wheel()
        requirements.append(str(wheel))
        # The name of the wheel stays the same while its content changes.
        content.append(hashlib.sha256(wheel.read_bytes()).hexdigest())
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
    path = CACHE / "environments" / f"{label}-{key}"
    complete = path / "complete"
    if rebuild or not complete.exists():
        for outdated in path.parent.glob(f"{label}-*"):
            shutil.rmtree(outdated)
        _build(path, requirements)
        complete.touch()
    return Environment(name=name, path=path, versions=_read_versions(path))


def build_wheel() -> Path:
    """Build dayfly from this working tree, as a user would get it: not editable."""
    folder = CACHE / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    if uv is not None:
        _run([uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(REPOSITORY)])
    else:
        with tempfile.TemporaryDirectory() as venv:
            # The Python that runs this may be an environment without pip.
            _run([sys.executable, "-m", "venv", venv])
            pip = [f"{venv}/bin/python", "-m", "pip", "wheel", "--quiet", "--no-deps"]
            _run([*pip, "--wheel-dir", str(folder), str(REPOSITORY)])
    return next(folder.glob("dayfly-*.whl"))


def _build(path: Path, requirements: list[str]) -> None:
    print(f"building the environment of {path.name}", file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    uv = shutil.which("uv")
    if uv is not None:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(path)])
        install = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(path / "bin" / "python"),
        ]
    else:
        _run([sys.executable, "-m", "venv", str(path)])
        install = [str(path / "bin" / "python"), "-m", "pip", "install", "--quiet"]  # compiles by itself
    _run([*install, *requirements])


def _run(argv: list[str]) -> None:
    # An environment that happens to be active must not be the one that is changed.
    env = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} failed:\n{done.stdout}{done.stderr}")


def _read_versions(path: Path) -> dict[str, str]:
    script = (
        "import importlib.metadata as m, json, platform, sys\n"
        "known = {d.name.replace('-', '_').lower(): d.version for d in m.distributions()}\n"
        "found = {name: known[name] for name in sys.argv[1:] if name in known}\n"
        "print(json.dumps({'python': platform.python_version()} | found))"
    )
    argv = [str(path / "bin" / "python"), "-c", script, *NOTEWORTHY]
    versions: dict[str, str] = json.loads(subprocess.check_output(argv, text=True))
    return versions

"""`python -m dayfly.runner.probe`: what a run in this image will find, as JSON. Standard library only."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dayfly.runner.facts import installed_packages
from dayfly.runner.kernelspecs import find_kernelspecs

_OWN = "/opt/dayfly/"
_ASK = "import json, sys; print(json.dumps([sys.prefix, '.'.join(map(str, sys.version_info[:3]))]))"
_ASK_S = 60.0


def probe(environ: Mapping[str, str]) -> dict[str, Any]:
    """The image's user, and the Python, kernels and packages of the user's environment."""
    python = find_python(environ)
    prefix = Path(python["prefix"]) if python else None
    return {
        "user": _user(environ),
        "python": python,
        "kernels": [
            {**spec.__dict__, "env": dict(spec.env), "directory": spec.directory and str(spec.directory)}
            for spec in find_kernelspecs(prefix, environ).values()
        ],
        "packages": installed_packages(prefix) if prefix else {},
    }


def find_python(environ: Mapping[str, str]) -> dict[str, str] | None:
    """The Python of the user's environment: the first of the usual places that answers."""
    for candidate in _candidates(environ):
        try:
            done = subprocess.run(
                [candidate, "-c", _ASK], capture_output=True, check=True, timeout=_ASK_S, env=dict(environ)
            )
            prefix, version = json.loads(done.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            continue
        return {"executable": candidate, "prefix": prefix, "version": version}
    return None


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        executable = Path(environ.get(variable) or "/nonexistent") / "bin" / "python"
        if executable.exists():
            yield str(executable)
    for name in ("python3", "python"):
        found = shutil.which(name, path=environ.get("PATH", os.defpath))
        if found is not None and not found.startswith(_OWN):
            yield found
    if Path("/opt/conda/bin/python").exists():  # images in which a shell activates the environment
        yield "/opt/conda/bin/python"


def _user(environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        entry = pwd.getpwuid(os.getuid())
        name, home = entry.pw_name, entry.pw_dir
    except KeyError:
        name, home = str(os.getuid()), "/"
    return {"name": name, "uid": os.getuid(), "gid": os.getgid(), "home": environ.get("HOME") or home}


if __name__ == "__main__":
    json.dump(probe({**os.environ}), sys.stdout)

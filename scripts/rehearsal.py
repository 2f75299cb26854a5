# ruff: noqa: INP001 -- a script, in no package
"""`rehearsal.py NOTEBOOK...`: `dayfly rehearse`, with what it needs made here where it cannot be had.

That is a Docker engine, started for as long as it takes when none answers; and, when the registry of public
images cannot be reached, a Debian made from the mirror that this machine's own packages come from.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from dayfly.environment.docker import Docker
from dayfly.rehearsal.image import DEFAULT_BASE
from tests.engine.bench import an_engine
from tests.engine.images import make_base_image

_PULL_S = 300.0


def base_of_our_own(docker: Docker) -> dict[str, str]:
    """What leads image and machine to a base image from here; nothing when the usual one can be had."""
    if docker.inspect("image", DEFAULT_BASE) is not None:
        return {}
    if docker.try_run(["pull", "--quiet", DEFAULT_BASE], timeout_s=_PULL_S).returncode == 0:
        return {}
    base = make_base_image(docker)
    return {"DAYFLY_MACHINE_BASE": base, "DAYFLY_IMAGE_BASE": base, "DAYFLY_IMAGE_NETWORK": "host"}


def main() -> int:
    """Rehearse, and return the exit code."""
    command = shutil.which("dayfly")
    if command is None:
        sys.exit("dayfly is not on PATH: run this with `make rehearsal`")
    with an_engine() as docker:
        environ = {**docker.environ, **base_of_our_own(docker)}
        return subprocess.run([command, "rehearse", *sys.argv[1:]], env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

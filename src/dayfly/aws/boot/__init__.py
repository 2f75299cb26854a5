"""What runs on a machine: fixed shell, packed with dayfly.

`boot.sh` is in the machine's user data (see `templates/machine.yaml`) and does the task `run` by itself. For
the tasks `build` and `lab` it fetches `context.tar.gz`, checks its SHA-256, and goes on with the script of
the task's name that is in it.
"""

from __future__ import annotations

from importlib import resources


def boot_script() -> str:
    """`boot.sh`, verbatim, as it stands in the user data."""
    return _script("boot.sh")


def build_script() -> str:
    """`build.sh`, for the archive of a machine whose task is `build`."""
    return _script("build.sh")


def lab_script() -> str:
    """`lab.sh`, for the archive of a machine whose task is `lab`."""
    return _script("lab.sh")


def _script(name: str) -> str:
    return resources.files("dayfly.aws.boot").joinpath(name).read_text("utf-8")

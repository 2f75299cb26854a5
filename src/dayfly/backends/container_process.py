"""`python -m dayfly.backends.container_process RUN_DIR BUNDLE`: the runner in a container of the image.

The container runs as whoever started it on the host, whom the image need not know. So that its
kernel finds what it expects, a home that cannot be written is replaced by one that can, and what the
image installed in its own user's home is still found.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from dayfly.backends.checkout import prepare_checkout
from dayfly.runner.main import execute_run


def settle_home(environ: MutableMapping[str, str]) -> None:
    """Make sure that HOME can be written; Python's user site and Jupyter's user data stay the image's."""
    home = Path(environ.get("HOME") or "/")
    if home != Path("/") and os.access(home, os.W_OK):
        return
    environ["HOME"] = tempfile.mkdtemp(prefix="home-")
    local = home / ".local"
    if os.path.isdir(local):  # noqa: PTH112 -- which is false, and no error, in a home that is closed to us
        environ.setdefault("PYTHONUSERBASE", str(local))
        paths = [environ["JUPYTER_PATH"]] if environ.get("JUPYTER_PATH") else []
        environ["JUPYTER_PATH"] = os.pathsep.join([*paths, str(local / "share" / "jupyter")])


if __name__ == "__main__":
    settle_home(os.environ)
    sys.exit(execute_run(Path(sys.argv[1]), prepare=prepare_checkout(Path(sys.argv[2]))))

"""What runs on a machine: fixed shell, packed with dayfly.

`boot.sh` is in the machine's user data (see `templates/machine.yaml`) and does the task `run` by itself. For
the tasks `build` and `lab` it fetches `context.tar.gz`, checks its SHA-256, and goes on with the script of
the task's name that is in it: `build.sh`, `lab.sh`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from importlib import resources

_COMMENT = re.compile(r"(^|\s)#(?!!)(\s.*|)$")


def boot_script() -> str:
    """`boot.sh` as it stands in the user data, which may have 16 KB: without indentation and comments.

    Lines keep their numbers, by which a failure is told.
    """
    lines = _script("boot.sh").split("\n")
    return "\n".join(_COMMENT.sub("", line).strip(" ") for line in lines)


def build_script() -> str:
    """`build.sh`, for the archive of a machine whose task is `build`."""
    return _script("build.sh")


def lab_context() -> tuple[bytes, str]:
    """The archive of a machine whose task is `lab`, `labs/<id>/context.tar.gz`, and its SHA-256."""
    content = _script("lab.sh").encode()
    written = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=written, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        entry = tarfile.TarInfo("lab.sh")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return written.getvalue(), hashlib.sha256(written.getvalue()).hexdigest()


def _script(name: str) -> str:
    return resources.files("dayfly.aws.boot").joinpath(name).read_text("utf-8")

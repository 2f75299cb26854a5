"""What may stay in a run's outputs: files under names that every store can hold, and no links."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

_LONGEST_BYTES = 900
"""Of a path in the folder. S3 takes keys of 1024 bytes, the run's own part included:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""
_NAME_LEFT = 60


def too_long(path: str) -> bool:
    """Whether a store may refuse this path, relative to the outputs folder."""
    return len(os.fsencode(path)) > _LONGEST_BYTES


def tidy_outputs(outputs: Path) -> Iterator[str]:
    """Make the folder one that can be carried, hashed and fetched; yields a sentence for each change.

    Links are removed, not what they lead to: they mean something on this machine alone, and may lead
    anywhere. Names that no store can hold are percent-encoded: control characters, backslashes, `#`.
    """
    for parent, folders, files in os.walk(outputs, topdown=False):
        for name in files + folders:
            path = Path(parent, name)
            if path.is_symlink():
                target = path.readlink()
                path.unlink()
                yield f"The output {name!r} was left out: it is a link, to {str(target)!r}."
                continue
            safe = _safe_name(name)
            if safe != name:
                while Path(parent, safe).is_symlink() or Path(parent, safe).exists():
                    safe = f"_{safe}"
                path.rename(Path(parent, safe))
                yield f"The output {name!r} was renamed to {safe!r}: no store can hold that name."
    for path in [Path(parent, name) for parent, _, files in os.walk(outputs) for name in files]:
        long = path.relative_to(outputs).as_posix()
        if too_long(long):
            short = f"{hashlib.sha256(os.fsencode(long)).hexdigest()[:12]}-{path.name[-_NAME_LEFT:]}"
            path.rename(outputs / short)
            yield f"The output {path.name!r} was renamed to {short!r}: its path is too long for S3."


def _safe_name(name: str) -> str:
    return "".join(
        quote(c, safe="", errors="surrogateescape") if c in "\\#" or not c.isprintable() else c for c in name
    )

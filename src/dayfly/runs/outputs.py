"""What may stay in a run's outputs: files under names that every store can hold, and no links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


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


def _safe_name(name: str) -> str:
    return "".join(
        quote(c, safe="", errors="surrogateescape") if c in "\\#" or not c.isprintable() else c for c in name
    )

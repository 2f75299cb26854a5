"""Which files of the context a Dockerfile takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dayfly.environment.generate import Generated


def determining_files(
    generated: Generated, context: Path, path: Path | None, arguments: Mapping[str, str], *, platform: str
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The files that determine the image, and the build arguments that its Dockerfile declares."""
    if path is None and generated.files is not None:
        return generated.files, frozenset()
    found = []
    for parent, folders, names in os.walk(context):
        folders[:] = [name for name in folders if name != ".git"]
        found += [(Path(parent) / name).relative_to(context).as_posix() for name in names]
    return tuple(sorted(found)), frozenset(arguments)

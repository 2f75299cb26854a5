"""The bytes that decide an image, as one hash: the same on every machine, whoever's the files are."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dayfly.errors import ImageError

_PIECE = 1 << 20


def hash_parts(parts: Mapping[str, Any]) -> str:
    """SHA-256 of values by name, as hexadecimal digits; values are what JSON has."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def hash_files(root: Path, files: Iterable[str]) -> list[list[str]]:
    """Path, kind and content of each file under `root`, in an order of their own.

    What is not there is told as such: it may be there tomorrow. Raises ImageError for what cannot be read.
    """
    return [[file, *_fingerprint(root / file)] for file in sorted(set(files))]


def _fingerprint(path: Path) -> tuple[str, str]:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return "link", os.fsencode(path.readlink()).hex()
        if stat.S_ISDIR(mode):
            return "folder", ""
        if stat.S_ISREG(mode):
            # Git keeps no other bit than this, and a checkout has the umask of whoever made it.
            return "program" if mode & stat.S_IXUSR else "file", _hash(path)
    except FileNotFoundError:
        return "absent", ""
    except OSError as error:
        raise ImageError(
            f"{path} cannot be read, and the image is made of it.",
            why=error.strerror or str(error),
            hint="Leave it out in .dockerignore, or make it readable.",
        ) from error
    return "other", ""  # sockets, pipes and devices: no builder takes them along


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()

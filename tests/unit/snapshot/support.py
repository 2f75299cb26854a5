"""What the tests of snapshots share: Git repositories, and packs as nobody's Git would make them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from dayfly.snapshot.git import git_environment

WHO = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]


def git(repository: Path, *arguments: str, data: bytes | None = None) -> str:
    """What Git printed, which must succeed."""
    done = subprocess.run(
        ["git", *WHO, "-c", "init.defaultBranch=main", "-C", str(repository), *arguments],
        env=git_environment() | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        input=data,
        capture_output=True,
        check=True,
    )
    return os.fsdecode(done.stdout).removesuffix("\n")


def write(repository: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files, by path from the top."""
    for path, content in files.items():
        file = repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def commit(repository: Path, files: Mapping[str, str | bytes], message: str = "work") -> str:
    """Write and commit files; the commit's id."""
    write(repository, files)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(repository, "rev-parse", "HEAD")


def read_all(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Every file and link below a folder (save for `.git`): kind and content by path."""
    found: dict[str, tuple[str, bytes]] = {}
    for top, folders, files in os.walk(os.fsencode(folder)):
        if b".git" in folders:
            folders.remove(b".git")
        for name in [*files, *(one for one in folders if os.path.islink(os.path.join(top, one)))]:  # noqa: PTH114, PTH118
            path = os.path.join(top, name)  # noqa: PTH118
            key = os.fsdecode(os.path.relpath(path, os.fsencode(folder)))
            if os.path.islink(path):  # noqa: PTH114
                found[key] = ("link", os.readlink(path))  # noqa: PTH115
            else:
                kind = "program" if os.access(path, os.X_OK) and os.stat(path).st_mode & 0o100 else "file"  # noqa: PTH116
                found[key] = (kind, Path(os.fsdecode(path)).read_bytes())
    return found


def everything(repository: Path) -> dict[str, bytes]:
    """All that Git keeps, by path: to see that nothing of it was touched."""
    folder = repository / ".git"
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


Object = tuple[int, bytes]
TREE_TYPES = {1: b"commit", 2: b"tree", 3: b"blob"}


def oid(kind: int, content: bytes) -> bytes:
    return hashlib.sha1(
        b"%s %d\0" % (TREE_TYPES[kind], len(content)) + content, usedforsecurity=False
    ).digest()


def tree(*entries: tuple[bytes, bytes, bytes]) -> bytes:
    """A tree of (mode, name, id), as they are given."""
    return b"".join(mode + b" " + name + b"\0" + child for mode, name, child in entries)


def packed(kind: int, content: bytes, size: int | None = None, extra: bytes = b"") -> bytes:
    """An object as a pack has it; `size` may lie."""
    size = len(content) if size is None else size
    head = bytearray([kind << 4 | size & 15])
    size >>= 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return bytes(head) + extra + zlib.compress(content)


def pack(objects: Sequence[bytes], count: int | None = None) -> bytes:
    """A pack of objects that are packed already."""
    number = len(objects) if count is None else count
    body = b"PACK" + (2).to_bytes(4, "big") + number.to_bytes(4, "big") + b"".join(objects)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def bundle(file: Path, objects: Sequence[Object], top: bytes) -> str:
    """Write a bundle of a commit of the tree `top` and of other objects; the commit's id."""
    content = b"tree " + oid(2, top).hex().encode() + b"\nauthor a <a> 0 +0000\n\nx\n"
    made = oid(1, content).hex()
    parts = [packed(1, content), packed(2, top), *(packed(kind, data) for kind, data in objects)]
    file.write_bytes(b"# v2 git bundle\n" + made.encode() + b" refs/heads/x\n\n" + pack(parts))
    return made

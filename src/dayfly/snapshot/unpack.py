"""A checkout of a snapshot's bundle, without Git. Runs on Python 3.10, with the standard library and dulwich.

A bundle may have come from anywhere: nothing is believed that is not verified, and no name or link in it
leads out of the directory.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dayfly.errors import SnapshotError
from dayfly.snapshot.packfile import BLOB, COMMIT, TREE, DamagedError, Pack
from dayfly.snapshot.paths import find_escaping_link, is_safe_name

SIZE_LIMIT = 4 << 30
FILES_LIMIT = 1_000_000
_LONGEST_PATH = 4096
_LONGEST_LINK = 4095
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | getattr(os, "O_CLOEXEC", 0)
_MODES = {b"100644": 0o644, b"100664": 0o644, b"100755": 0o755}
_DIRECTORIES = {b"40000", b"040000"}
_LINK = b"120000"
_TREE_LINE = re.compile(rb"tree ([0-9a-f]{40}|[0-9a-f]{64})\n")


@dataclass(frozen=True)
class Unpacked:
    """What was unpacked."""

    commit: str
    tree: str
    files: int
    size_bytes: int


class _File(NamedTuple):
    path: bytes
    mode: int
    oid: bytes


class _Checkout(NamedTuple):
    """What a tree says is to be made, all of it judged harmless."""

    tree: bytes
    directories: list[bytes]
    files: list[_File]
    links: dict[bytes, bytes]
    size: int


def unpack_bundle(
    bundle: Path, target: Path, *, commit: str, sha256: str | None = None, size_limit: int = SIZE_LIMIT
) -> Unpacked:
    """Make a checkout of the commit in `target`, which must not be there yet, or be empty.

    Everything is verified before anything is written, and `target` appears when it is complete. Raises
    SnapshotError when the bundle is damaged (by its `sha256`, when given, and by the hash of each of its
    objects), lacks something, or has names, links or modes that a snapshot never has.
    """
    pack = Pack(_map(bundle, sha256), size_limit=size_limit)
    checkout = _plan_checkout(pack, _tree_of(pack, commit), size_limit)
    _write(pack, checkout, target)
    return Unpacked(
        commit=commit,
        tree=checkout.tree.hex(),
        files=len(checkout.files) + len(checkout.links),
        size_bytes=checkout.size,
    )


def _map(bundle: Path, sha256: str | None) -> memoryview:
    """The bundle's bytes, which stay mapped as long as something looks at them."""
    try:
        with bundle.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError as error:  # an empty file cannot be mapped
        raise DamagedError("It is empty.") from error
    except OSError as error:
        raise SnapshotError(f"{bundle} cannot be unpacked.", why=str(error)) from error
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256.lower():
        raise DamagedError(f"Its SHA-256 is not {sha256}.")
    return data


def _tree_of(pack: Pack, commit: str) -> bytes:
    try:
        wanted = bytes.fromhex(commit)
    except ValueError as error:
        raise DamagedError(f"{commit!r} is no commit.") from error
    found = _TREE_LINE.match(pack.get(wanted, COMMIT))
    if found is None:
        raise DamagedError(f"The commit {commit} names no tree.")
    return bytes.fromhex(found[1].decode("ascii"))


def _plan_checkout(pack: Pack, tree: bytes, size_limit: int) -> _Checkout:
    """Walk through the trees; everything that must not be in them is found here."""
    directories: list[bytes] = []
    files: list[_File] = []
    links: dict[bytes, bytes] = {}
    size = 0
    waiting = [(b"", tree)]
    while waiting:
        prefix, oid = waiting.pop()
        for mode, name, child in _entries(pack, oid, prefix):
            path = prefix + name
            if mode in _DIRECTORIES:
                directories.append(path)
                waiting.append((path + b"/", child))
                continue
            size += pack.size(child)
            if mode == _LINK:
                links[path] = _link_target(pack, path, child)
            elif mode in _MODES:
                files.append(_File(path, _MODES[mode], child))
            else:
                raise _hostile(path, f"has the mode {mode.decode('ascii', 'replace')}")
        if size > size_limit or len(directories) + len(files) + len(links) > FILES_LIMIT:
            raise DamagedError("It holds more than a snapshot may.")
    escaping = find_escaping_link(links)
    if escaping is not None:
        raise _hostile(escaping, "is a link that leads out of the snapshot")
    return _Checkout(tree, directories, files, links, size)


def _entries(pack: Pack, oid: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Mode, name and id of each entry of a tree."""
    content = pack.get(oid, TREE)
    length = len(oid)
    seen: set[bytes] = set()
    position = 0
    while position < len(content):
        space = content.find(b" ", position)
        end = content.find(b"\0", space + 1)
        if space < 0 or end < 0 or end + 1 + length > len(content):
            raise DamagedError(f"The tree {oid.hex()} is cut off.")
        name = content[space + 1 : end]
        if not is_safe_name(name) or len(prefix) + len(name) > _LONGEST_PATH:
            raise _hostile(prefix + name, "has a name that leads elsewhere")
        if name in seen:
            raise _hostile(prefix + name, "is there twice")
        seen.add(name)
        yield content[position:space], name, content[end + 1 : end + 1 + length]
        position = end + 1 + length


def _link_target(pack: Pack, path: bytes, oid: bytes) -> bytes:
    if pack.size(oid) > _LONGEST_LINK:
        raise _hostile(path, "is a link that is too long")
    return pack.get(oid, BLOB)


def _write(pack: Pack, checkout: _Checkout, target: Path) -> None:
    """Write everything into a directory of its own and move it to the target.

    A target that is there, and is empty, may lie where only its inside can be written.
    """
    inside = target.is_dir()
    try:
        if inside and any(target.iterdir()):
            raise _in_the_way(target, os.strerror(errno.ENOTEMPTY))
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".dayfly-", dir=target if inside else target.parent))
    except OSError as error:
        raise _in_the_way(target, str(error)) from error
    try:
        _write_files(pack, checkout, os.fsencode(staging) + b"/")
        if inside:
            for entry in staging.iterdir():
                entry.rename(target / entry.name)
        else:
            staging.chmod(0o755)
            staging.rename(target)
    except FileExistsError as error:
        raise _hostile(os.fsencode(error.filename or ""), "is there twice on this file system") from error
    except OSError as error:
        raise _in_the_way(target, str(error)) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_files(pack: Pack, checkout: _Checkout, top: bytes) -> None:
    """Write directories, files and, last, links."""
    for directory in checkout.directories:
        os.mkdir(top + directory)  # noqa: PTH102 -- thousands of them, in bytes
        os.chmod(top + directory, 0o755)  # noqa: PTH101, S103 -- as Git does
    for path, mode, oid in checkout.files:
        content = pack.get(oid, BLOB)
        descriptor = os.open(top + path, _FLAGS, mode)
        try:
            _write_all(descriptor, content)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
    for path, link in checkout.links.items():
        os.symlink(link, top + path)  # noqa: PTH211


def _in_the_way(target: Path, why: str) -> SnapshotError:
    return SnapshotError(
        f"The snapshot cannot be unpacked into {target}.",
        why=why,
        hint="The directory must not be there yet, or be empty, and its disk must have room.",
    )


def _write_all(descriptor: int, content: bytes) -> None:
    written = os.write(descriptor, content)
    while written < len(content):  # Linux writes 2 GiB at most
        written += os.write(descriptor, memoryview(content)[written:])


def _hostile(path: bytes, what: str) -> DamagedError:
    return DamagedError(f"{path.decode('utf-8', 'replace')!r} {what}, which a snapshot never has.")

"""A snapshot as one file: a Git bundle that holds a commit and what it needs, and no history."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from dayfly.errors import SnapshotError
from dayfly.snapshot.git import git_command
from dayfly.snapshot.plan import Snapshot

REF = "refs/heads/dayfly"
_BLOCK = 1 << 20
_SHA256_DIGITS = 64
# Objects are stored as they are, or as the repository's packs have them: looking for what is alike among
# files that are not versions of each other costs more than it saves.
_PACK = ("pack-objects", "--stdout", "--quiet", "--delta-base-offset", "--window=0")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was written."""

    sha256: str
    size_bytes: int


def write_bundle(snapshot: Snapshot, target: Path) -> Bundle:
    """Write the snapshot as a Git bundle; `target` appears when it is complete, and replaces what was there.

    The commit keeps its id and its parents' names; the parents are not in the bundle.
    """
    temporary = target.with_name(f".dayfly-{secrets.token_hex(8)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        bundle = _write(snapshot, temporary)
        temporary.replace(target)
    except OSError as error:
        raise SnapshotError(f"{target} cannot be written.", why=str(error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return bundle


def _write(snapshot: Snapshot, file: Path) -> Bundle:
    digest = hashlib.sha256()
    size = 0
    with TemporaryFile() as wanted, file.open("xb") as written:
        wanted.write(_objects_of(snapshot))
        wanted.seek(0)
        process = subprocess.Popen(
            git_command(snapshot.repository, _PACK),
            env=snapshot.environment(),
            stdin=wanted,
            stdout=subprocess.PIPE,
            stderr=(errors := TemporaryFile()),  # noqa: SIM115 -- read below
        )
        with process, errors:
            assert process.stdout is not None  # noqa: S101 -- a pipe was asked for
            block = _header(snapshot)
            while block:
                digest.update(block)
                size += written.write(block)
                block = process.stdout.read(_BLOCK)
            if process.wait():
                errors.seek(0)
                raise SnapshotError(
                    f"Git could not pack the commit {snapshot.commit}.",
                    why=errors.read().decode("utf-8", "replace").strip(),
                    hint="Check the repository with `git fsck`; an object may be missing.",
                )
    return Bundle(sha256=digest.hexdigest(), size_bytes=size)


def _header(snapshot: Snapshot) -> bytes:
    if len(snapshot.commit) == _SHA256_DIGITS:
        start = "# v3 git bundle\n@object-format=sha256\n"
    else:
        start = "# v2 git bundle\n"
    return f"{start}{snapshot.commit} {REF}\n\n".encode("ascii")


def _objects_of(snapshot: Snapshot) -> bytes:
    """What `pack-objects` is to pack, a line each; trees before blobs, as they are needed."""
    lines = [snapshot.commit, snapshot.tree, *snapshot.trees]
    lines += dict.fromkeys(entry.oid for entry in snapshot.entries)
    return os.fsencode("\n".join(lines) + "\n")

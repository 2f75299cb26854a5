"""What is needed to repeat a run and to check it: `receipt.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from dayfly.runs import layout
from dayfly.runs.chunks import chunk_start
from dayfly.runs.machine import MachineSource
from dayfly.runs.model import Model
from dayfly.runs.request import ImageSource
from dayfly.runs.store import Store


class FileHash(Model):
    """One file's SHA-256 and size. For `events` and `log`: of all chunks joined, up to `bytes`."""

    sha256: str
    bytes: int


class GitSource(Model):
    """The commit the notebook's folder was at when the run began; `dirty` when files differed."""

    commit: str
    tree: str | None = None
    branch: str | None = None
    dirty: bool | None = None


class KernelFacts(Model):
    """What ran the cells: kernelspec, language, the Python behind it and its packages."""

    name: str
    language: str = ""
    python: str | None = None
    python_version: str | None = None
    packages: dict[str, str] = Field(default_factory=dict)


class Receipt(Model):
    """Commit, environment, parameters and hashes of one run."""

    version: Literal[1] = 1
    run_id: str
    created: AwareDatetime
    dayfly: str
    platform: str
    host: str
    notebook: str
    parameters: dict[str, Any]
    kernel: KernelFacts
    git: GitSource | None = None
    image: ImageSource | None = None
    machine: MachineSource | None = None
    files: dict[str, FileHash]


STREAMS = (layout.EVENTS, layout.LOG)


def hash_bytes(pieces: Iterator[bytes]) -> FileHash:
    """The hash of the pieces joined."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return FileHash(sha256=digest.hexdigest(), bytes=size)


def find_mismatches(store: Store, receipt: Receipt) -> list[str]:
    """What no longer matches the receipt, one sentence each; empty when all does."""
    prefix = layout.run_prefix(receipt.run_id)
    entries = {entry.key.removeprefix(prefix): entry for entry in store.list(prefix.rstrip("/"))}
    problems = []
    for name, expected in sorted(receipt.files.items()):
        if name in STREAMS:
            chunks = sorted((k for k in entries if k.startswith(f"{name}/")), key=chunk_start)
            actual = _hash_stream(store, prefix, chunks, expected.bytes)
        elif name not in entries:
            problems.append(f"{name} is missing.")
            continue
        else:
            actual = hash_bytes(iter([store.get(prefix + name) or b""]))
        if actual != expected:
            problems.append(
                f"{name} has changed: {actual.bytes} bytes with SHA-256 {actual.sha256[:12]}…, "
                f"the receipt says {expected.bytes} bytes with {expected.sha256[:12]}…."
            )
    problems.extend(
        f"{name} is not in the receipt."
        for name in sorted(entries)
        if name.startswith(f"{layout.OUTPUTS}/") and name not in receipt.files
    )
    return problems


def _hash_stream(store: Store, prefix: str, chunks: list[str], limit: int) -> FileHash:
    """The hash of a chunked stream's first `limit` bytes: events go on after the receipt."""

    def pieces() -> Iterator[bytes]:
        left = limit
        for chunk in chunks:
            piece = (store.get(prefix + chunk) or b"")[:left]
            left -= len(piece)
            yield piece

    return hash_bytes(pieces())

"""Streams that only grow, kept in numbered chunks: `events/` and `log/`.

A chunk's name is the byte of the stream at which it begins, so the chunks in order, joined, are
the stream; a reader that has seen the first n bytes knows what is new from a listing alone. The
runner cuts chunks by size, the keeper by time: a reader cannot tell and need not.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from dayfly.runs.store import Store

CHUNK_BYTES = 1 << 20


def chunk_name(start: int, suffix: str) -> str:
    """The file name of the chunk that begins at byte `start`."""
    return f"{start:012d}{suffix}"


def chunk_start(name: str) -> int:
    """The byte at which a chunk begins, from its file name or key."""
    return int(PurePosixPath(name).name.partition(".")[0])


class ChunkWriter:
    """Appends to a stream in a local directory. Every append reaches the operating system at once."""

    def __init__(self, directory: Path, suffix: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._suffix = suffix
        self.size = 0
        self._start = 0
        self._descriptor: int | None = None

    def append(self, data: bytes) -> None:
        """Append whole; raises OSError when the disk is full, in which case part may be there."""
        view = memoryview(data)
        while view:
            written = os.write(self._chunk(), view)
            self.size += written
            view = view[written:]

    def _chunk(self) -> int:
        """The chunk to write to: the open one, or the next when that is full."""
        if self._descriptor is None or self.size - self._start >= CHUNK_BYTES:
            self.close()
            path = self._directory / chunk_name(self.size, self._suffix)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            self._start = self.size
        return self._descriptor

    def close(self) -> None:
        """Close the open chunk; a later append opens the next one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class ChunkReader:
    """Reads what is new in a stream of a run in a store, each byte once."""

    def __init__(self, store: Store, prefix: str, start: int = 0) -> None:
        """`prefix` is the stream's folder, such as `runs/<id>/events`; begins at byte `start`."""
        self._store = store
        self._prefix = prefix
        self._position = start
        self._last_key: str | None = None
        self.requests = 0
        """How many requests reading has taken so far, where a listing takes one."""

    def read(self, *, newest: int | None = None) -> bytes:
        """What has come since the last call; empty when nothing has.

        With `newest`, only the last so many bytes of it: the rest is never read.
        """
        self.requests += 1
        entries = sorted(self._store.list(self._prefix, after=self._before()), key=lambda e: e.key)
        if newest is not None and entries:
            end = chunk_start(entries[-1].key) + entries[-1].size
            self._position = max(self._position, end - newest)
        pieces = []
        for entry in entries:
            begin = chunk_start(entry.key)
            end = begin + entry.size
            if end <= self._position or begin > self._position:
                continue
            self.requests += 1
            pieces.append(self._store.get_range(entry.key, self._position - begin, entry.size))
            self._position = end
            self._last_key = entry.key
        return b"".join(pieces)

    def _before(self) -> str | None:
        """A key just before the chunk read last, so that a listing begins with that chunk."""
        return self._last_key[:-1] if self._last_key else None

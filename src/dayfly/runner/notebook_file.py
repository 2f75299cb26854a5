"""output.ipynb: kept whole and valid on disk at every moment, at a cost that follows what is new.

Each cell is serialised once, when it is finished, into a spool file beside the output; a
checkpoint joins the parts and replaces the file atomically. Finished outputs need not stay in
memory, and long texts of a cell that still runs are parked there too.
"""

from __future__ import annotations

import copy
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dayfly.runner.notebook import Cell, Notebook
from dayfly.runner.serialize import Parked, dump_cell, dump_metadata, escape

_COPY_BYTES = 1 << 20
_Parts = tuple[Parked, ...]
"""Where a cell's JSON lies in the spool."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The notebook at one moment: cheap to take, and written later, by another thread if need be."""

    parts: tuple[_Parts | Cell, ...]
    metadata: bytes
    minor: int


class NotebookFile:
    """The executed notebook on its way to `path`. Raises OSError when the disk does."""

    def __init__(self, path: Path, notebook: Notebook) -> None:
        self.path = path
        self._minor = int(notebook.get("nbformat_minor", 0))
        # Unlinked at once: nothing of it is left when the runner dies.
        self._spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 -- closed in close()
        self._end = 0
        # The last save waits for a checkpoint that is being written in a thread.
        self._writing = threading.Lock()
        self._parts: list[_Parts] = []
        self.metadata: dict[str, Any] = notebook["metadata"]
        for cell in notebook["cells"]:
            self._parts.append(self._append(cell))

    def finish_cell(self, index: int, cell: dict[str, Any]) -> None:
        """Take the cell as it is now; what was there before is replaced."""
        self._parts[index] = self._append(cell)

    def park(self, text: str) -> Parked:
        """Put a text of a cell that still runs on disk, as it will stand in the file."""
        begin = self._end
        for piece in escape(text):
            self._spool_bytes(piece)
        return Parked(begin, self._end - begin)

    def _append(self, cell: Cell) -> _Parts:
        parts = []
        begin = self._end
        for piece in dump_cell(cell):
            if isinstance(piece, bytes):
                self._spool_bytes(piece)
                continue
            parts += [Parked(begin, self._end - begin), piece]
            begin = self._end
        return (*parts, Parked(begin, self._end - begin))

    def _spool_bytes(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._spool.fileno(), view, self._end)
            self._end += written
            view = view[written:]

    def snapshot(self, running: tuple[int, Cell] | None = None) -> Snapshot:
        """The notebook now; `running` is the index and content of a cell that is not finished."""
        parts: list[_Parts | Cell] = list(self._parts)
        if running is not None:
            parts[running[0]] = _freeze(running[1])
        return Snapshot(parts=tuple(parts), metadata=dump_metadata(self.metadata), minor=self._minor)

    def write(self, snapshot: Snapshot) -> int:
        """Replace the file by this snapshot, atomically; returns its size in bytes."""
        with self._writing:
            return self._replace(snapshot)

    def _replace(self, snapshot: Snapshot) -> int:
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        try:
            with temporary.open("wb") as stream:
                stream.write(b'{\n "cells": [')
                for number, parts in enumerate(snapshot.parts):
                    stream.write(b",\n" if number else b"\n")
                    for part in dump_cell(parts) if isinstance(parts, dict) else parts:
                        self._copy(part, stream)
                stream.write(b"\n ],\n" if snapshot.parts else b"],\n")
                stream.write(b' "metadata": ' + snapshot.metadata)
                stream.write(b',\n "nbformat": 4,\n "nbformat_minor": %d\n}\n' % snapshot.minor)
                size = stream.tell()
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return size

    def _copy(self, part: bytes | Parked, stream: IO[bytes]) -> None:
        if isinstance(part, bytes):
            stream.write(part)
            return
        for start in range(0, part.length, _COPY_BYTES):
            length = min(_COPY_BYTES, part.length - start)
            stream.write(os.pread(self._spool.fileno(), length, part.offset + start))

    def close(self) -> None:
        """Let go of the spool."""
        self._spool.close()


def _freeze(cell: Cell) -> Cell:
    """The cell as it is now, though more comes while it is written; its texts are shared, not copied."""
    outputs = [
        {**output, "text": list(output["text"])} if isinstance(output.get("text"), list) else dict(output)
        for output in cell["outputs"]
    ]
    return {**cell, "metadata": copy.deepcopy(cell["metadata"]), "outputs": outputs}

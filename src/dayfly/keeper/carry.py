"""Carrying a run directory to the store as it grows: O(new bytes), and result.json last."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from dayfly.errors import StoreError
from dayfly.runs import layout
from dayfly.runs.chunks import chunk_name, chunk_start
from dayfly.runs.outputs import too_long
from dayfly.runs.store import Store

_STREAMS = {layout.EVENTS: ".jsonl", layout.LOG: ".txt"}
_PIECE_BYTES = 8 << 20
_POSITIONS = ".carried"
"""In the run directory: how far its streams have come, for a keeper that goes on after one that has died."""
_SETTLED_S = 5.0
"""An output file that was not written for so long is carried while the notebook still runs."""

Stamp = tuple[int, int]


class Carrier:
    """What has been carried so far, and how to carry the rest. Raises StoreError; calling again goes on."""

    def __init__(self, run_dir: Path, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._run_dir = run_dir
        self._store = store
        self._clock = clock
        self._positions = dict.fromkeys(_STREAMS, 0) | _read_positions(run_dir / _POSITIONS)
        self._carried: dict[str, Stamp] = {}

    def carry(self, *, everything: bool = False) -> None:
        """Carry what is new; `everything` also what may still change. Never result.json."""
        for name, suffix in _STREAMS.items():
            while self._carry_piece(name, suffix):
                pass
        for path in self._files(everything=everything):
            self._carry_file(path)
        if everything and (self._run_dir / layout.RECEIPT).exists():
            self._delete_gone()

    def carry_result(self) -> None:
        """Carry result.json, which says that all the rest is there."""
        self._carry_file(self._run_dir / layout.RESULT)

    def _files(self, *, everything: bool) -> Iterator[Path]:
        yield self._run_dir / layout.OUTPUT
        for parent, _, names in os.walk(self._run_dir / layout.OUTPUTS):
            for name in names:
                path = Path(parent, name)
                if path.is_symlink() or not path.is_file():
                    continue
                if too_long(path.relative_to(self._run_dir / layout.OUTPUTS).as_posix()):
                    continue  # the runner gives it another name in the end
                if everything or self._clock() - _written(path) > _SETTLED_S:
                    yield path
        if everything:
            yield self._run_dir / layout.RECEIPT
            yield self._run_dir / layout.RUNNER_LOG

    def _carry_file(self, path: Path) -> None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return
        name = path.relative_to(self._run_dir).as_posix()
        stamp = (status.st_mtime_ns, status.st_size)
        if self._carried.get(name) == stamp:
            return
        self._store.put(self._key(name), path)
        self._carried[name] = stamp

    def _delete_gone(self) -> None:
        """Take back outputs that the notebook has removed or renamed since; its receipt has none of them."""
        outputs = [name for name in self._carried if name.startswith(f"{layout.OUTPUTS}/")]
        gone = [name for name in outputs if not (self._run_dir / name).exists()]
        with suppress(StoreError):  # who may not delete leaves them, and `verify` tells of them
            if gone:
                self._store.delete([self._key(name) for name in gone])

    def _carry_piece(self, name: str, suffix: str) -> bool:
        """Carry the next piece of a stream as a chunk of its own; False when there is none."""
        position = self._positions[name]
        piece = _read_from(self._run_dir / name, suffix, position, _PIECE_BYTES)
        if not piece:
            return False
        self._store.put(self._key(f"{name}/{chunk_name(position, suffix)}"), piece)
        self._positions[name] = position + len(piece)
        with suppress(OSError):  # the disk is full: whoever comes next begins at an earlier byte
            (self._run_dir / _POSITIONS).write_text(json.dumps(self._positions), encoding="utf-8")
        return True

    def _key(self, name: str) -> str:
        return layout.run_key(self._run_dir.name, name)


def _read_positions(file: Path) -> dict[str, int]:
    """What an earlier keeper has left; nothing when there was none, or it died while it wrote."""
    try:
        said = json.loads(file.read_bytes())
        return {name: int(said[name]) for name in _STREAMS}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _written(path: Path) -> float:
    """When a file was last written; far in the future for one that has just been removed."""
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")


def _read_from(directory: Path, suffix: str, position: int, limit: int) -> bytes:
    """Up to `limit` bytes of a chunked stream from byte `position` on."""
    pieces, wanted = [], limit
    for chunk in sorted(directory.glob(f"*{suffix}")):
        begin = chunk_start(chunk.name)
        if begin + chunk.stat().st_size <= position or begin > position:
            continue
        with chunk.open("rb") as stream:
            stream.seek(position - begin)
            piece = stream.read(wanted)
        pieces.append(piece)
        position += len(piece)
        wanted -= len(piece)
        if wanted <= 0:
            break
    return b"".join(pieces)

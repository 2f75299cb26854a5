"""Reading a Git bundle without Git. Runs on Python 3.10, with the standard library and dulwich.

Every object is inflated, its deltas are resolved, and it is named by the hash of what it is, so that whoever
finds an object under its id knows that it is whole.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from dayfly.errors import SnapshotError

COMMIT, TREE, BLOB = 1, 2, 3
_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", 4: b"tag"}
_OFS_DELTA, _REF_DELTA = 6, 7
_KEPT_BYTES = 256 << 20
_LONGEST_CHAIN = 5000
_LONGEST_HEADER = 4096
_PACK_HEADER = 12
_WIDEST_SHIFT = 63


class DamagedError(SnapshotError):
    """The bundle is not what it should be."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "The bundle of the snapshot cannot be unpacked.",
            why=why,
            hint="Make it again, or fetch it again.",
        )


class _Place(NamedTuple):
    """Where an object's data is, what it is, and what it is a difference to."""

    offset: int
    kind: int
    raw_size: int
    size: int
    base: int | None
    depth: int


class Pack:
    """The objects of a bundle, by id."""

    def __init__(self, data: memoryview, *, size_limit: int) -> None:
        """Read and verify all of it. Raises DamagedError."""
        start, self.hash = _read_header(bytes(data[:_LONGEST_HEADER]))
        self._data = data[start:]
        self._left = size_limit
        self._places: dict[int, _Place] = {}
        self._by_id: dict[bytes, int] = {}
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self._read_objects()

    def get(self, oid: bytes, kind: int) -> bytes:
        """The content of an object. Raises DamagedError when it is not there or is something else."""
        return self._content(self._find(oid, kind))

    def size(self, oid: bytes) -> int:
        """How long a file's content is. Raises DamagedError as `get` does."""
        return self._places[self._find(oid, BLOB)].size

    def _find(self, oid: bytes, kind: int) -> int:
        name = _NAMES[kind].decode()
        start = self._by_id.get(oid)
        if start is None:
            raise DamagedError(f"The {name} {oid.hex()} is not in it.")
        if self._places[start].kind != kind:
            raise DamagedError(f"Its object {oid.hex()} is no {name}.")
        return start

    def _read_objects(self) -> None:
        body = len(self._data) - self.hash().digest_size
        if body < _PACK_HEADER or bytes(self._data[:4]) != b"PACK":
            raise DamagedError("It has no pack, or is cut off.")
        if self.hash(self._data[:body]).digest() != self._data[body:]:
            raise DamagedError("The checksum of its pack does not match; it may be cut off.")
        version, count = (int.from_bytes(self._data[at : at + 4], "big") for at in (4, 8))
        if version not in {2, 3}:
            raise DamagedError(f"Its pack has the version {version}, which is unknown.")
        self._data = self._data[:body]
        position = _PACK_HEADER
        for _ in range(count):
            position = self._read_object(position)
        if position != body:
            raise DamagedError("Its pack has more than it says.")

    def _read_object(self, start: int) -> int:
        """Verify the object that starts there; where the next one does."""
        try:
            kind, size, position = _read_type_and_size(self._data, start)
            base, position = self._read_base(kind, start, position)
        except IndexError:
            raise DamagedError("Its pack is cut off.") from None
        raw, following = self._inflate(position, size)
        content, depth = raw, 0
        if base is not None:
            depth = self._places[base].depth + 1
            if depth > _LONGEST_CHAIN:
                raise DamagedError("It has differences to differences without end.")
            kind = self._places[base].kind
            content = self._apply(base, raw)
        header = b"%s %d\0" % (_NAMES[kind], len(content))
        digest = self.hash(header)
        digest.update(content)
        self._places[start] = _Place(position, kind, size, len(content), base, depth)
        self._by_id[digest.digest()] = start
        self._keep(start, content)
        return following

    def _read_base(self, kind: int, start: int, position: int) -> tuple[int | None, int]:
        """What an object is a difference to, None when to nothing; and where its data begins."""
        if kind == _OFS_DELTA:
            back, position = _read_offset(self._data, position)
            base: int | None = start - back
        elif kind == _REF_DELTA:
            end = position + self.hash().digest_size
            base, position = self._by_id.get(bytes(self._data[position:end])), end
        elif kind in _NAMES:
            return None, position
        else:
            raise DamagedError(f"It has an object of the unknown type {kind}.")
        if base is None or base not in self._places:
            raise DamagedError("It has a difference to an object that does not come before it.")
        return base, position

    def _inflate(self, position: int, size: int) -> tuple[bytes, int]:
        self._spend(size)
        return inflate(self._data, position, size)

    def _apply(self, base: int, delta: bytes) -> bytes:
        try:
            _, position = _read_size(memoryview(delta), 0)
            size, _ = _read_size(memoryview(delta), position)
            self._spend(size)
            content = b"".join(apply_delta(self._content(base), delta))
        except (ApplyDeltaError, IndexError, ValueError, AssertionError) as error:
            raise DamagedError("A difference in it cannot be applied.") from error
        if len(content) != size:
            raise DamagedError("A difference in it does not make what it says.")
        return content

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise DamagedError("It holds more than a snapshot may.")

    def _content(self, start: int) -> bytes:
        kept = self._kept.get(start)
        if kept is not None:
            return kept
        deltas = []
        at: int | None = start
        while at is not None and at not in self._kept:
            place = self._places[at]
            deltas.append(inflate(self._data, place.offset, place.raw_size)[0])
            at = place.base
        content = self._kept[at] if at is not None else deltas.pop()
        for delta in reversed(deltas):
            content = b"".join(apply_delta(content, delta))
        return content

    def _keep(self, start: int, content: bytes) -> None:
        if self._kept_bytes + len(content) <= _KEPT_BYTES:
            self._kept[start] = content
            self._kept_bytes += len(content)


def inflate(data: memoryview, position: int, size: int) -> tuple[bytes, int]:
    """What is deflated at a position and has this size; and the position after it. Raises DamagedError."""
    # What cannot be made smaller grows by very little; zlib copies all that it is given and does not need.
    end = position + size + size // 1000 + 128
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data[position:end], size + 1)
        while not inflater.eof and len(content) <= size and end < len(data):
            start, end = end, end + (1 << 16)
            content += inflater.decompress(inflater.unconsumed_tail + bytes(data[start:end]), size + 1)
        if not inflater.eof and len(content) <= size:
            content += inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise DamagedError("An object in it cannot be decompressed.") from error
    if not inflater.eof or len(content) != size:
        raise DamagedError("An object in it has not the size that it says.")
    return content, min(end, len(data)) - len(inflater.unused_data)


def _read_header(head: bytes) -> tuple[int, Callable[..., Any]]:
    """Where the pack begins, and the hash by which its objects are named."""
    end = head.find(b"\n\n")
    lines = head[:end].split(b"\n")
    if end < 0 or lines[0] not in {b"# v2 git bundle", b"# v3 git bundle"}:
        raise DamagedError("It is no Git bundle, or one of an unknown version.")
    capabilities = {line for line in lines[1:] if line.startswith(b"@")}
    if any(line.startswith(b"-") for line in lines[1:]):
        raise DamagedError("It needs commits that are not in it.")
    if capabilities - {b"@object-format=sha1", b"@object-format=sha256"}:
        raise DamagedError("It needs abilities that dayfly does not have.")
    if b"@object-format=sha256" in capabilities:
        return end + 2, hashlib.sha256
    return end + 2, _sha1


def _sha1(data: bytes | memoryview = b"") -> Any:
    return hashlib.sha1(data, usedforsecurity=False)


def _read_type_and_size(data: memoryview, position: int) -> tuple[int, int, int]:
    byte = data[position]
    kind, size, shift = byte >> 4 & 7, byte & 15, 4
    while byte & 0x80:
        position += 1
        byte = data[position]
        size |= (byte & 0x7F) << shift
        shift += 7
        if shift > _WIDEST_SHIFT:
            raise DamagedError("An object in it has an impossible size.")
    return kind, size, position + 1


def _read_size(data: memoryview, position: int) -> tuple[int, int]:
    size, shift, more = 0, 0, True
    while more and shift <= _WIDEST_SHIFT:
        byte = data[position]
        size |= (byte & 0x7F) << shift
        more = bool(byte & 0x80)
        position, shift = position + 1, shift + 7
    return size, position


def _read_offset(data: memoryview, position: int) -> tuple[int, int]:
    byte = data[position]
    offset = byte & 0x7F
    while byte & 0x80 and offset.bit_length() <= _WIDEST_SHIFT:
        position += 1
        byte = data[position]
        offset = (offset + 1 << 7) | (byte & 0x7F)
    return offset, position + 1

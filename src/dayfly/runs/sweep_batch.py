"""What a child of an array job looks up: which point, at which attempt, and where its line lies.

`sweeps/<sweep-id>/batch/<NNN>.children` has a record of fixed width for each child of one submission, so that
a child reads its own by its index, with one ranged GET, and its point's line with another. Immutable.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dayfly.runs import layout

_RECORD = struct.Struct("<QIII")
WIDTH = _RECORD.size
"""Bytes of a record."""
BATCH = "batch"


@dataclass(frozen=True, kw_only=True)
class Child:
    """One child: its point, the number of its first attempt, and its line in points.jsonl, in bytes."""

    index: int
    attempt: int
    start: int
    length: int


def children_key(sweep_id: str, submission: int) -> str:
    """The key of the records of a submission, from 1."""
    return layout.sweep_key(sweep_id, f"{BATCH}/{submission:03d}.children")


def encode_children(points: bytes, wanted: Sequence[tuple[int, int]]) -> bytes:
    """The records of `wanted` (index, attempt), whose lines are in `points` (points.jsonl)."""
    lines = list(_lines(points))
    return b"".join(_RECORD.pack(*lines[index], index, attempt) for index, attempt in wanted)


def _lines(points: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(points):
        end = points.index(b"\n", start)
        yield start, end - start
        start = end + 1


def decode_child(record: bytes) -> Child:
    """One record. Raises struct.error for what is none."""
    start, length, index, attempt = _RECORD.unpack(record)
    return Child(index=index, attempt=attempt, start=start, length=length)

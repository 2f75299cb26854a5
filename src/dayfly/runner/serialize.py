"""One cell as JSON text, in nbformat's own layout, so that a notebook can be put together from parts.

nbformat writes notebooks with an indent of one, sorted keys and multi-line strings as lists of lines
(https://nbformat.readthedocs.io/en/latest/format_description.html); so do we, and a diff under Git
stays small. One exception: a very long text stays one string, which the format allows, because a
list of a million lines costs ten times its memory. Such a text is escaped a piece at a time, and may
have been put on disk before its cell is finished (`Parked`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dayfly.runner.notebook import Cell

LONG_TEXT = 1 << 20
_SPLIT = {"application/javascript", "image/svg+xml"}
"""What nbformat splits into lines, besides `text/`."""


@dataclass(frozen=True)
class Parked:
    """Bytes that lie in the spool; as a text, escaped already. `length` is in bytes."""

    offset: int
    length: int


Text = str | Parked
_Texts = Text | list[Text]


def dump_cell(cell: Cell) -> Iterator[bytes | Parked]:
    """The cell as it stands in a notebook file, indented, without a trailing comma; in pieces."""
    long_texts: dict[str, _Texts] = {}
    rest = _dump(_split_cell(cell, long_texts), depth=2)
    for mark, text in long_texts.items():
        before, _, rest = rest.partition(f'"{mark}"'.encode())
        yield before + b'"'
        for piece in text if isinstance(text, list) else [text]:
            yield from [piece] if isinstance(piece, Parked) else escape(piece)
        yield b'"'
    yield rest


def dump_metadata(metadata: dict[str, Any]) -> bytes:
    """The notebook's metadata as it stands in the file."""
    return _dump(metadata, depth=1).lstrip()


def _dump(value: Any, depth: int) -> bytes:
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, separators=(",", ": "))
    pad = "\n" + " " * depth
    # Lone surrogates have no UTF-8: a kernel may send them all the same.
    return (" " * depth + text.replace("\n", pad)).encode("utf-8", "replace")


def escape(text: str) -> Iterator[bytes]:
    """What stands between the quotes of the text in a JSON file, in pieces."""
    for start in range(0, len(text), LONG_TEXT):
        part = json.dumps(text[start : start + LONG_TEXT], ensure_ascii=False)
        yield part[1:-1].encode("utf-8", "replace")


def _split_cell(cell: Cell, long_texts: dict[str, _Texts]) -> Cell:
    split = {**cell, "source": "".join(cell["source"]).splitlines(keepends=True)}
    if cell["cell_type"] == "code":
        # In the order in which sorted keys put them into the file.
        split["outputs"] = [_split_output(output, long_texts) for output in cell.get("outputs", [])]
    return split


def _split_output(output: dict[str, Any], long_texts: dict[str, _Texts]) -> dict[str, Any]:
    if output["output_type"] == "stream":
        return {**output, "text": _split(output["text"], long_texts)}
    if "data" in output:
        data = {mime: _split_data(mime, output["data"][mime], long_texts) for mime in sorted(output["data"])}
        return {**output, "data": data}
    return output


def _split_data(mime: str, data: Any, long_texts: dict[str, _Texts]) -> Any:
    if mime.startswith("text/") or mime in _SPLIT:
        return _split(data, long_texts)
    if isinstance(data, Parked) or (isinstance(data, str) and len(data) > LONG_TEXT):
        return _mark(data, long_texts)
    return data


def _split(text: Any, long_texts: dict[str, _Texts]) -> Any:
    """A text as a list of lines; a long one as a mark that stands for it; anything else as it is."""
    if isinstance(text, Parked):
        return _mark(text, long_texts)
    if isinstance(text, list) and all(isinstance(piece, Text) for piece in text):
        if any(isinstance(piece, Parked) for piece in text) or sum(map(len, text)) > LONG_TEXT:
            return _mark(text, long_texts)
        text = "".join(text)
    if not isinstance(text, str):
        return text
    if len(text) > LONG_TEXT:
        return _mark(text, long_texts)
    return text.splitlines(keepends=True)


def _mark(text: _Texts, long_texts: dict[str, _Texts]) -> str:
    mark = secrets.token_hex(16)
    long_texts[mark] = text
    return mark

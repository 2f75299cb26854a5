"""One cell as JSON text, in nbformat's own layout, so that a notebook can be put together from parts.

nbformat writes notebooks with an indent of one, sorted keys and multi-line strings as lists of lines
(https://nbformat.readthedocs.io/en/latest/format_description.html); so do we, and a diff under Git
stays small. One exception: a very long text stays one string, which the format allows, because a
list of a million lines costs ten times its memory.
"""

from __future__ import annotations

import json
from typing import Any

from dayfly.runner.notebook import Cell

_LONG_TEXT = 1 << 20
_JSON_MIME = ("application/json",)


def dump_cell(cell: Cell) -> bytes:
    """The cell as it stands in a notebook file, indented, without a trailing comma."""
    return _dump(_split_cell(cell), depth=2)


def dump_metadata(metadata: dict[str, Any]) -> bytes:
    """The notebook's metadata as it stands in the file."""
    return _dump(metadata, depth=1).lstrip()


def _dump(value: Any, depth: int) -> bytes:
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, separators=(",", ": "))
    pad = "\n" + " " * depth
    # Lone surrogates have no UTF-8: a kernel may send them all the same.
    return (" " * depth + text.replace("\n", pad)).encode("utf-8", "replace")


def _split_cell(cell: Cell) -> Cell:
    split = {**cell, "source": _split(cell["source"])}
    if cell["cell_type"] == "code":
        split["outputs"] = [_split_output(output) for output in cell.get("outputs", [])]
    return split


def _split_output(output: dict[str, Any]) -> dict[str, Any]:
    if output["output_type"] == "stream":
        return {**output, "text": _split(output["text"])}
    if "data" in output:
        return {**output, "data": {mime: _split_data(mime, data) for mime, data in output["data"].items()}}
    return output


def _split_data(mime: str, data: Any) -> Any:
    if mime in _JSON_MIME or mime.endswith("+json"):
        return data
    return _split(data)


def _split(text: Any) -> Any:
    """A text as a list of lines; anything else, and long texts, as they are or joined."""
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        text = "".join(text)
    if not isinstance(text, str) or len(text) > _LONG_TEXT:
        return text
    return text.splitlines(keepends=True)

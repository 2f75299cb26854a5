"""What a notebook recorded: values under names, read from its messages while it runs.

Two kinds of messages carry them: those of `dayfly.record`, and those of scrapbook's `glue`. What they hold is
the notebook's word and is checked; what does not have the right form records nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dayfly.runner.for_kernels.dayfly import FLOAT, LONGEST_NAME, MIME

SCRAPS = ("application/scrapbook.scrap.json+json", "application/scrapbook.scrap.text+json")
"""Of scrapbook's encoders, those whose data is JSON."""
LIMIT_BYTES = 1 << 20
_DEEPEST = 60
"""What `dayfly.record` accepts, and the objects that stand for NaN and the infinities in it."""
_FLOATS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
FOLDER = Path(__file__).parent / "for_kernels"
"""What Python kernels find `dayfly` in where none is installed."""


def path_code() -> str:
    """Python that puts that folder last on the path. It binds no name: a notebook sees nothing of it."""
    return f"__import__('sys').path.append({str(FOLDER)!r})"


@dataclass(kw_only=True)
class Records:
    """The last value under each name, as JSON has it; at most `limit_bytes` in all."""

    warn: Callable[[str], None]
    limit_bytes: int = LIMIT_BYTES
    values: dict[str, Any] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    _warned: bool = False

    def take(self, data: Mapping[str, Any]) -> None:
        """Look for a record in the data of one output."""
        for mime, field_name in ((MIME, "value"), *((scrap, "data") for scrap in SCRAPS)):
            said = data.get(mime)
            if isinstance(said, Mapping) and field_name in said and not _deeper(said[field_name], _DEEPEST):
                self._keep(said.get("name"), _with_floats(said[field_name]))

    def _keep(self, name: object, value: Any) -> None:
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
            return
        size = len(json.dumps([name, value], ensure_ascii=False).encode("utf-8", "replace"))
        # A name that is recorded once more is the last in order, and what it had before is not its value.
        self.values.pop(name, None)
        self._sizes.pop(name, None)
        if sum(self._sizes.values()) + size > self.limit_bytes:
            self._warn_once(name)
            return
        self.values[name] = value
        self._sizes[name] = size

    def _warn_once(self, name: str) -> None:
        if self._warned:
            return
        self._warned = True
        self.warn(
            f"{name!r} was not recorded: a run keeps {self.limit_bytes:,} bytes of recorded values in all. "
            "Write large results to $DAYFLY_OUTPUTS."
        )


def _deeper(value: Any, most: int) -> bool:
    """Whether lists and dictionaries are nested deeper than a result can be written with."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return isinstance(value, (list, tuple)) and (most == 0 or any(_deeper(each, most - 1) for each in value))


def _with_floats(value: Any) -> Any:
    """The value with its NaN and infinities, which travel as objects, put back."""
    if isinstance(value, Mapping):
        if len(value) == 1 and value.get(FLOAT) in _FLOATS:
            return _FLOATS[value[FLOAT]]
        return {str(key): _with_floats(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_floats(each) for each in value]
    return value

"""What the JSON files of a run directory have in common."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dayfly.errors import DamagedFileError


class Model(BaseModel):
    """A frozen record, written as JSON. Fields that a newer dayfly added are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    def to_bytes(self) -> bytes:
        """The file's content: indented JSON in UTF-8, with a final newline.

        Text that has no UTF-8 (half of a surrogate pair, which a kernel may send) is replaced by `?`.
        """
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)
        return text.encode("utf-8", "replace") + b"\n"


M = TypeVar("M", bound=Model)


def parse_model(kind: type[M], data: bytes, file: str) -> M:
    """Read a record from the content of `file` (a name for messages).

    Raises DamagedFileError naming the file, the line and what was expected.
    """
    try:
        return kind.model_validate(json.loads(data))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DamagedFileError(
            f"{file} is damaged{where}.",
            why=f"It should be JSON: {error}.",
            hint="Restore it from a backup, or remove the run with: dayfly rm",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        line = _line_of(data, first["loc"])
        raise DamagedFileError(
            f"{file} is damaged{f', line {line}' if line else ''}.",
            why=f"{field}: {first['msg']}.",
            hint="Restore it from a backup, or remove the run with: dayfly rm",
        ) from error


def _line_of(data: bytes, location: tuple[int | str, ...]) -> int | None:
    """The line of the last named key of `location`, searched key by key from the top."""
    position, found = 0, False
    for part in location:
        if isinstance(part, str):
            at = data.find(json.dumps(part).encode() + b":", position)
            if at < 0:
                break
            position, found = at, True
    return data.count(b"\n", 0, position) + 1 if found else None

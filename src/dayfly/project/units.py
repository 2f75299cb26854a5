"""Durations and sizes as people write them: `90`, `10m`, `1h30m`; `500000`, `100MB`, `1.5GiB`."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"^(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]i?)?B?$", re.IGNORECASE | re.ASCII)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
LONGEST_S = 365 * 86400.0


def parse_duration(value: object) -> float:
    """Seconds, from a number of seconds or text such as `1h30m`. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = str(value).strip().lower()
        if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
            seconds = float(text)
        else:
            parts = list(_DURATION.finditer(text))
            if not parts or "".join(part.group() for part in parts).replace(" ", "") != text.replace(" ", ""):
                raise ValueError("should be a duration such as 90, 10m or 1h30m")
            seconds = sum(float(part["number"]) * _SECONDS[part["unit"]] for part in parts)
    if not 0 < seconds <= LONGEST_S:
        raise ValueError("should be a duration of more than nothing and at most a year")
    return seconds


def parse_size(value: object) -> int:
    """Bytes, from a number or text such as `100MB` (10^6) or `100MiB` (2^20). Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("should be a size, which is finite")
        size = int(value)
    else:
        match = _SIZE.match(str(value).strip())
        if match is None:
            raise ValueError("should be a size such as 500000, 100MB or 2GiB")
        unit = (match["unit"] or "").lower()
        base = 1024 if unit.endswith("i") else 1000
        size = int(Decimal(match["number"]) * base ** (_POWERS[unit[0]] if unit else 0))
    if size <= 0:
        raise ValueError("should be a size of more than nothing")
    return size

"""The grammar of a parameter of a sweep: `a=1,2,3`, `n=1..20`, `x=0..1..0.1`, `'t=["a, b","c"]'`.

One value is shared by all points; several are an axis of the grid. Commas inside quotes and brackets divide
nothing. A text that is a list as a whole, in brackets, is the list of the values; so a parameter that is
itself a list is written `[[1, 2], [3, 4]]`, or `[1, 2],[3, 4]`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from dayfly.backends.made_later import MadeLater
from dayfly.backends.yaml_values import parse_scalar, parse_yaml, too_deep
from dayfly.errors import UsageError
from dayfly.runner.inspection import TypedText

MOST_POINTS = 1_000_000
"""What a sweep may have; more are refused before they are built."""
_LONGEST_RANGE = 10**15
"""What a sample may be drawn of."""
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?", re.ASCII)
_WHOLE = re.compile(r"[-+]?\d+", re.ASCII)
_WHOLE_RANGE = re.compile(r"[-+]?\d+\.\.[-+]?\d+", re.ASCII)
_DOTS = re.compile(r"\.{3,}")
_PAIRS = {"[": "]", "{": "}"}
_LONGEST_NUMBER = 25
_LARGEST_EXPONENT = 300


def parse_pair(pair: str) -> tuple[str, TypedText | Sequence[TypedText]]:
    """Name and value of `-p name=value`; all its values where there are several. Raises UsageError."""
    name, equals, text = pair.partition("=")
    name = name.strip()
    if not equals or not name.isidentifier():
        raise UsageError(
            f"{pair!r} is no parameter.",
            hint="Write -p name=value, or several: -p alpha=0.1,0.2 -p seed=1..20",
        )
    return name, parse_values(text, f"-p {pair}")


def parse_values(text: str, where: str) -> TypedText | Sequence[TypedText]:
    """One value, or several: a list, or a range that is too long for one. Raises UsageError for neither."""
    items = split_items(text)
    if len(items) == 1:
        stripped = text.strip()
        if stripped.startswith("[") and isinstance(listed := parse_yaml(stripped, where), list):
            try:
                return [_typed(value) for value in listed]
            except RecursionError as error:
                raise too_deep(where) from error
        found = _RANGE.fullmatch(stripped)
        if found is None:
            return TypedText(text, parse_scalar(text, where))
        numbers = _range(found, where)
        return list(numbers) if len(numbers) <= MOST_POINTS else numbers
    values: list[TypedText] = []
    for item in items:
        if not item:
            raise UsageError(
                f"{where} has an empty value.", hint="Empty text is written with quotes: -p 'a=\"\",x'"
            )
        found = _RANGE.fullmatch(item)
        more = _range(found, where) if found else [TypedText(item, parse_scalar(item, where))]
        if len(values) + len(more) > MOST_POINTS:
            raise _too_long(where, len(values) + len(more))
        values.extend(more)
    return values


def _typed(value: Any) -> TypedText:
    """A value of a YAML list, whose text is lost; a text parameter takes what is shown."""
    return TypedText(value if isinstance(value, str) else str(value), value)


def is_range(text: str) -> bool:
    """Whether `-p` would take the text for a range."""
    return _RANGE.fullmatch(text.strip()) is not None


def split_items(text: str) -> list[str]:
    """What stands between commas that are in no quotes and no brackets, without the space around it."""
    items: list[str] = []
    closing: list[str] = []
    begin, quote, before = 0, "", ","
    escaped = False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\" and quote == '"'
            quote = "" if character == quote else quote
        elif character in "\"'" and before in ",[{:":  # inside a word it is an apostrophe
            quote = character
        elif character in _PAIRS:
            closing.append(_PAIRS[character])
        elif closing and character == closing[-1]:
            closing.pop()
        elif character == "," and not closing:
            items.append(text[begin:position].strip())
            begin = position + 1
        before = before if character.isspace() else character
    return [*items, text[begin:].strip()]


def _range(found: re.Match[str], where: str) -> Sequence[TypedText]:
    """The numbers of a range, its end among them, exact in decimals; none is made before it is needed."""
    if max(len(part or "") for part in found.groups()) > _LONGEST_NUMBER:
        raise UsageError(f"{where}: a number of the range {found[0]} is too long.")
    whole = all(part is None or _WHOLE.fullmatch(part) for part in found.groups())
    first, last = Decimal(found[1]), Decimal(found[2])
    parts = (first, last, Decimal(found[3] or 1))
    if any(part and not -_LARGEST_EXPONENT <= part.adjusted() <= _LARGEST_EXPONENT for part in parts):
        raise UsageError(f"{where}: a number of the range {found[0]} is too large, or too small.")
    if found[3] is None and not whole:
        dots = _DOTS.sub("..", found[0])
        raise UsageError(
            f"{where}: the range {found[0]} needs a step.",
            hint=f"Write it behind: {found[0]}..0.1"
            if dots == found[0]
            else f"A range has two dots: {dots}{'' if _WHOLE_RANGE.fullmatch(dots) else '..0.1'}",
        )
    step = Decimal(found[3]) if found[3] is not None else Decimal(1 if first <= last else -1)
    if step == 0 or (last - first) * step < 0:
        raise UsageError(
            f"{where}: the range {found[0]} has no values.",
            why="Its step is 0." if step == 0 else f"A step of {step} leads away from {last}.",
        )
    count = int((last - first) / step) + 1
    if count > _LONGEST_RANGE:
        raise _too_long(where, count)
    return MadeLater(count, lambda place: _number(first + step * place, whole=whole))


def _number(value: Decimal, *, whole: bool) -> TypedText:
    if whole:
        return TypedText(str(int(value)), int(value))
    return TypedText(format(value, "f"), float(value))


def _too_long(where: str, count: int) -> UsageError:
    return UsageError(
        f"{where} has {count:,} values.",
        why=f"A sweep has at most {MOST_POINTS:,} points.",
        hint=f"Draw some of a single range, of at most {_LONGEST_RANGE:,}: -p seed=1..5000000 --sample 50",
    )

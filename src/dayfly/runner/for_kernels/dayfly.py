"""`import dayfly` in a kernel whose environment has no dayfly: `dayfly.record`, and nothing else.

The runner puts this file's folder *last* on the path of a Python kernel, so it never shadows a dayfly that is
installed there, whose `dayfly.record` is this function too. Standard library only, and nothing that a
Python of the user's may not have yet: it runs in theirs, not in ours.
"""

# ruff: noqa: INP001 -- a folder that is on a path is no package
from __future__ import annotations

import math
import os
import sys
from typing import Any

__all__ = ["record"]

MIME = "application/vnd.dayfly.record+json"
FLOAT = "$float"
"""JSON has no NaN and no infinity, and Jupyter's messages turn them into text: they travel as an object."""
LONGEST_NAME = 200
_DEEPEST = 50
_SHOWN = 200


def record(name: str, value: Any) -> None:
    """Record a value under a name: it stands in the run's result and in the table of its sweep.

    The last value recorded under a name is the one that counts. A value is what JSON has: text, numbers,
    True, False, None, and lists and dictionaries of these. NumPy's scalars become numbers, tuples become
    lists; NaN and the infinities stay what they are. Outside of a run nothing is recorded. Raises TypeError
    for any other value and ValueError for a name that is empty or longer than 200 characters.

    >>> record("rmse", 0.12)
    """
    if not isinstance(name, str):
        raise TypeError(f"record: a name is text, not {type(name).__name__}: record('rmse', 0.12)")
    if not name.strip() or len(name) > LONGEST_NAME:
        raise ValueError(f"record: a name has 1 to {LONGEST_NAME} characters")
    plain = _plain(value, name, 0)
    if not os.environ.get("DAYFLY_RUN_ID") or "IPython" not in sys.modules:
        return
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()  # type: ignore[no-untyped-call,unused-ignore]
    if shell is None:
        return
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    data = {MIME: {"version": 1, "name": name, "value": plain}, "text/plain": f"{name} = {shown}"}
    shell.display_pub.publish(data=data, metadata={})


def _plain(value: Any, name: str, depth: int) -> Any:
    """The value as JSON has it."""
    if depth > _DEEPEST:
        raise TypeError(f"record({name!r}, …): lists and dictionaries are nested too deeply")
    if getattr(value, "shape", None) == () and hasattr(value, "dtype") and hasattr(value, "item"):
        value = value.item()  # a scalar of NumPy, or what behaves like one
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {FLOAT: _word(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(each, name, depth + 1) for each in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(
                    f"record({name!r}, …): a dictionary's keys are text, not {type(key).__name__} ({key!r})"
                )
        return {str(key): _plain(each, name, depth + 1) for key, each in value.items()}
    hint = "; try .tolist()" if hasattr(value, "tolist") else ""
    raise TypeError(
        f"record({name!r}, …): a value is text, a number, True, False, None, or lists and dictionaries of "
        f"these, not {type(value).__module__}.{type(value).__name__}{hint}"
    )


def _word(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"

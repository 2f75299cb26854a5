"""The values of a grid against what the notebook declares; what is wrong is told with where it stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from dayfly.backends.sweep_values import is_range
from dayfly.backends.yaml_values import MOST_NESTED
from dayfly.errors import ParameterError
from dayfly.runner.inspection import TypedText
from dayfly.runs.sweep import canonical

Check = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Converts some parameters to the types that the notebook declares, or raises ParameterError."""


def check_at(given: Mapping[str, Any], place: str, check: Check) -> dict[str, Any]:
    """What `check` makes of some parameters. Raises ParameterError, also for NaN and for what is no JSON.

    `place` is where they stand in a file or in what Python gave; empty for what `-p` says of itself.
    """
    try:
        _refuse_nan(given)
        checked = check(given)
        _refuse_nan(checked)
        _refuse_no_json(checked)
    except ParameterError as error:
        if not place:
            raise
        hint = _hint_of_range(given, check) or error.hint
        raise ParameterError(f"{place}: {error.what}", error.why, hint) from error
    return checked


def _hint_of_range(given: Mapping[str, Any], check: Check) -> str:
    """What to do about a range where none can be; empty when the wrong value is none."""
    hints = (
        hint
        for name, value in given.items()
        if (hint := hint_of_range(value)) and _refused(name, value, check)
    )
    return next(hints, "")


def hint_of_range(value: Any) -> str:
    """What to do about a value that would be a range with `-p`; empty for any other."""
    text = value.text if isinstance(value, TypedText) else value
    if not isinstance(text, str) or not is_range(text):
        return ""
    return f"{text} is a range with -p only: give a list of its values here, or a row for each."


def _refused(name: str, value: Any, check: Check) -> bool:
    try:
        check({name: value})
    except ParameterError:
        return True
    return False


def _refuse_nan(parameters: Mapping[str, Any]) -> None:
    """Before they are checked, so that it says what to do; and after, when a text may have become NaN."""
    for name, value in parameters.items():
        if not isinstance(value, (str, int)) and _has_nan(value, name):
            raise ParameterError(
                f"The parameter {name} is NaN.",
                why="NaN equals nothing, not even itself: nobody could tell whether the point was run.",
                hint="Give a number, or null; or leave it out, as row.dropna().to_dict() does in pandas: "
                "then it is left to the notebook.",
            )


def _has_nan(value: Any, name: str, depth: int = 0) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    if not isinstance(value, (Mapping, list, tuple)):
        return False
    if depth == MOST_NESTED:
        raise ParameterError(
            f"The parameter {name} has too many lists or mappings within each other.",
            why=f"At most {MOST_NESTED} can be.",
        )
    inner = value.values() if isinstance(value, Mapping) else value
    return any(_has_nan(each, name, depth + 1) for each in inner)


def _refuse_no_json(parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if value is None or isinstance(value, (str, int, float)):
            continue
        try:
            canonical(value)
        except (TypeError, ValueError) as error:
            raise no_json(f"The parameter {name}", error) from error


def no_json(what: str, error: Exception) -> ParameterError:
    """What to raise for a value that a run cannot be given."""
    return ParameterError(
        f"{what} cannot be written as JSON.",
        why=str(error),
        hint="Give numbers, text, true or false, lists and dictionaries of these.",
    )

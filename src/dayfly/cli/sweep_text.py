"""A sweep and its points in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer

from dayfly.backends.sweep_view import Overview
from dayfly.cli.text import safe_text, style_state
from dayfly.runs.state import State

_LONGEST_VALUE = 24
_ORDER = (
    State.FAILED,
    State.TIMED_OUT,
    State.LOST,
    State.NEVER_STARTED,
    State.INTERRUPTED,
    State.CANCELLED,
    State.RUNNING,
    State.SUCCEEDED,
)
"""Failures first."""


def describe_parameters(parameters: Mapping[str, Any]) -> str:
    """`alpha=0.1 seed=3`, with long values cut."""
    return " ".join(f"{name}={describe_value(value)}" for name, value in parameters.items())


def describe_value(value: Any) -> str:
    """A value as it is typed, on one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = safe_text(" ".join(text.split()))
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[: _LONGEST_VALUE - 1]}…"


def describe_point(overview: Overview, index: int) -> str:
    """`[7] alpha=0.1 seed=3`."""
    return f"[{index}] {describe_parameters(overview.points[index].parameters)}"


def count_states(overview: Overview) -> list[tuple[str, int, State | None]]:
    """What points are there of: a word, how many, and the state, failures first; the waiting ones last."""
    counts = {state: number for state, number in overview.counts.items() if state is not None}
    running = sum(number for state, number in counts.items() if not state.ended)
    counts = {state: number for state, number in counts.items() if state.ended} | {State.RUNNING: running}
    words = [(str(state).replace("_", " "), counts[state], state) for state in _ORDER if counts.get(state)]
    waiting = overview.counts[None]
    return [*words, *([("waiting", waiting, None)] if waiting else [])]


def describe_counts(overview: Overview) -> str:
    """`2 failed, 3 running, 40 succeeded, 15 waiting`, coloured where the terminal can."""
    return ", ".join(
        typer.style(f"{number} {word}", dim=True) if state is None else _styled(number, word, state)
        for word, number, state in count_states(overview)
    )


def _styled(number: int, word: str, state: State) -> str:
    return style_state(state).replace(str(state), f"{number} {word}")


def describe_points(count: int) -> str:
    """`1 point`, `60 points`."""
    return "1 point" if count == 1 else f"{count:,} points"

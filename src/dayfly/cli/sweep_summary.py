"""What is said when a sweep has ended or is left: how many of which, what went wrong, and what to do next."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import typer

from dayfly.backends.pool import LOG
from dayfly.backends.sweep_view import Overview, Sweep
from dayfly.cli.sweep_text import count_states, describe_counts, describe_point, describe_points
from dayfly.cli.text import SYMBOLS, format_size, safe_text, style_state, to_stderr
from dayfly.runs import layout
from dayfly.runs.run import Run
from dayfly.runs.state import State

_SHOWN = 5
_POOL_LINES = 3
_LITTLE_BYTES = 4 << 20
"""On a disk with less, runs fail: each needs some room to say how it ended."""


def exit_sweep(sweep: Sweep, overview: Overview, *, quiet: bool, as_json: bool) -> None:
    """Say how a sweep has ended, and exit with its code: 0 when every point succeeded."""
    state = overview.state
    with suppress(BrokenPipeError):
        if as_json:
            sys.stdout.write(json.dumps(sweep_event(overview), ensure_ascii=False) + "\n")
            sys.stdout.flush()
        if not (quiet or as_json):
            print_sweep_summary(sweep, overview)
        elif state is not State.SUCCEEDED:
            to_stderr(f"error: the sweep {sweep.sweep_id} {state}: {_plain_counts(overview)}")
            for line in _words_of_pool(sweep, state):
                to_stderr(f"  {line}")
            to_stderr(f"  dayfly show {sweep.sweep_id}")
    raise typer.Exit(state.exit_code if state.ended else 1)


def sweep_event(overview: Overview) -> dict[str, object]:
    """The whole sweep, for programs."""
    return {
        "type": "sweep",
        "at": datetime.now(UTC).isoformat(),
        "sweep_id": overview.sweep.sweep_id,
        "state": overview.state,
        "points": len(overview.points),
        "done": overview.done,
        "reused": overview.reused,
        "counts": {word.replace(" ", "_"): number for word, number, _ in count_states(overview)},
    }


def print_sweep_summary(sweep: Sweep, overview: Overview) -> None:
    """The end of a sweep, on stderr."""
    state = overview.state
    symbol = SYMBOLS.get(state, "✗" if state.ended else "▸")
    count = describe_points(len(overview.points))
    to_stderr(f"{symbol} {style_state(state)} · {count}: {describe_counts(overview)}")
    for line in failure_lines(sweep, overview, most=_SHOWN):
        to_stderr(f"  {line}")
    for line in _words_of_pool(sweep, state):
        to_stderr(f"  {line}")
    for number, command in enumerate(next_commands(sweep.sweep_id, overview)):
        to_stderr(f"  {'next' if number == 0 else '':<10}{command}")


def _words_of_pool(sweep: Sweep, state: State) -> list[str]:
    """What the newest pool of this machine said: its warnings, and why it ended before it was done."""
    path = sweep.store.path(layout.sweep_key(sweep.sweep_id, LOG))
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
    except OSError:
        return []
    lines = safe_text(text).splitlines()
    if state is State.INTERRUPTED:
        return [*lines[-_POOL_LINES:], *_full_disk(sweep)]
    return [line for line in lines if line.startswith("warning: ")][:_POOL_LINES]


def _full_disk(sweep: Sweep) -> list[str]:
    """A pool can say nothing itself on a disk that is full."""
    root = sweep.store.root
    free = shutil.disk_usage(root).free if root is not None else _LITTLE_BYTES
    if free >= _LITTLE_BYTES:
        return []
    return [f"The disk that holds {root} is full ({format_size(free)} are left): make room, then go on."]


def failure_lines(sweep: Sweep, overview: Overview, *, most: int) -> Iterator[str]:
    """A line for each point that did not end well, with why; the first ones."""
    wrong = [i for i, state in enumerate(overview.states) if state in _WRONG]
    for index in wrong[:most]:
        run_id = overview.run_of(index)
        result = Run(run_id, sweep.store).result if run_id is not None else None
        why = (result.message.splitlines() or [""])[0] if result is not None else "It left no result."
        yield f"{style_state(overview.states[index])}  {describe_point(overview, index)}  {safe_text(why)}"
    if len(wrong) > most:
        yield f"and {len(wrong) - most} more: dayfly show {sweep.sweep_id}"


_WRONG = {State.FAILED, State.TIMED_OUT, State.LOST, State.NEVER_STARTED}


def next_commands(sweep_id: str, overview: Overview) -> list[str]:
    """The commands that a user is likely to want now."""
    state = overview.state
    if not state.ended:
        return [f"dayfly attach {sweep_id}", f"dayfly stop {sweep_id}"]
    commands = []
    if overview.open:
        left = describe_points(len(overview.open))
        commands.append(f"dayfly retry {sweep_id}   ({left} left to run)")
    if overview.failed:
        commands.append(f"dayfly retry {sweep_id} --failed   (as it was; once mended, the same dayfly sweep)")
    return [*commands, f"dayfly results {sweep_id}"]


def _plain_counts(overview: Overview) -> str:
    return ", ".join(f"{number} {word}" for word, number, _ in count_states(overview))

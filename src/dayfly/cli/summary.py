"""What is said when a run has ended: how, what is left, and what to do next."""

from __future__ import annotations

from contextlib import suppress

import typer

from dayfly.cli.places import place_of
from dayfly.cli.text import SYMBOLS, format_duration, format_size, safe_text, style_state, to_stderr
from dayfly.runs import layout
from dayfly.runs.result import Reason, Result
from dayfly.runs.run import Run
from dayfly.runs.state import State

_TRACEBACK_LINES = 25
_TRACEBACK_COLUMNS = 1000


def exit_with(run: Run, state: State | None, *, quiet: bool) -> None:
    """Say how a run has ended, and exit with its code."""
    with suppress(BrokenPipeError):
        if not quiet:
            print_summary(run, state)
        elif state is not State.SUCCEEDED:
            print_failure(run, state)
    raise typer.Exit(state.exit_code if state is not None and state.ended else 1)


def print_summary(run: Run, state: State | None) -> None:
    """The end of a run, on stderr."""
    result = run.result
    symbol = SYMBOLS.get(state, "✗") if state else "?"
    line = f"{symbol} {style_state(state)}"
    if result is not None:
        line += f" in {format_duration(result.duration_s)} · {describe_cells(result)}"
    to_stderr(line)
    if result is not None and state is not State.SUCCEEDED:
        _print_failure(result)
    if result is None:
        to_stderr("  Its runner is gone and left no result; what it had saved is still there.")
    _print_places(run)
    for warning in result.warnings if result else []:
        to_stderr(f"  warning   {safe_text(warning)}")
    if run.request.machine is not None:
        from dayfly.cli.machine_details import tell_machine_end

        tell_machine_end(run, state)
    to_stderr(f"  next      {next_command(run, state)}")


def print_failure(run: Run, state: State | None) -> None:
    """In two lines, for those who want to see nothing but errors."""
    result = run.result
    message = result.message.splitlines() if result is not None else []
    to_stderr(f"error: {run.run_id} {state or 'is in an unknown state'}: {safe_text(' '.join(message[:1]))}")
    to_stderr(f"  {next_command(run, state)}")


def describe_cells(result: Result) -> str:
    """`12 of 12 cells`, or how far it came."""
    cells = result.cells
    words = [f"{cells.executed} of {cells.code} cells"]
    for name in ("failed", "interrupted"):
        count = getattr(cells, name)
        if count:
            words.append(f"{count} {name}")
    return ", ".join(words)


def _print_failure(result: Result) -> None:
    failed = result.failed_cell
    if failed is not None and failed.traceback:
        lines = safe_text(failed.traceback, colours=True).splitlines()
        if len(lines) > _TRACEBACK_LINES:
            lines = [*lines[:5], "...", *lines[-(_TRACEBACK_LINES - 6) :]]
        for line in lines:
            to_stderr(f"  {typer.style('│', dim=True)} {line[:_TRACEBACK_COLUMNS]}")
    for line in safe_text(result.message).splitlines():
        to_stderr(f"  {line}")


def _print_places(run: Run) -> None:
    prefix = layout.run_prefix(run.run_id)
    entries = {entry.key.removeprefix(prefix): entry for entry in run.store.list(prefix.rstrip("/"))}
    if layout.OUTPUT in entries:
        to_stderr(f"  notebook  {place_of(run, layout.OUTPUT)}")
    outputs = [entry for name, entry in entries.items() if name.startswith(f"{layout.OUTPUTS}/")]
    if outputs:
        size = format_size(sum(entry.size for entry in outputs))
        files = "1 file" if len(outputs) == 1 else f"{len(outputs)} files"
        to_stderr(f"  outputs   {files}, {size}, in {place_of(run, layout.OUTPUTS)}")


def next_command(run: Run, state: State | None) -> str:
    """The command that a user is likely to want now."""
    if state is State.SUCCEEDED:
        return f"dayfly open {run.run_id}"
    result = run.result
    if result is not None and result.reason in {Reason.KERNEL_MISSING, Reason.DISK_FULL}:
        return f"dayfly rerun {run.run_id}   (when that is mended)"
    return f"dayfly show {run.run_id}"

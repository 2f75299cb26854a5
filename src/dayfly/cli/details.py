"""Everything about one run, for `dayfly show`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from dayfly.cli.machine_details import (
    machine_commands,
    machine_to_json,
    print_line,
    print_machine,
    print_machine_failure,
)
from dayfly.cli.places import place_of
from dayfly.cli.summary import describe_cells
from dayfly.cli.text import (
    SYMBOLS,
    format_duration,
    format_size,
    format_when,
    print_table,
    safe_text,
    style_state,
)
from dayfly.runs import layout
from dayfly.runs.receipt import Receipt
from dayfly.runs.request import Request
from dayfly.runs.result import Result
from dayfly.runs.run import Run
from dayfly.runs.state import State

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.aws.machine_facts import MachineFacts

_ALL_CELLS = 30
_SLOWEST = 10
_LONGEST_RECORD = 100


def to_json(run: Run, open_aws: Callable[[], Aws]) -> dict[str, Any]:
    """The same for programs: request, result, receipt, the cells, and the machine where there is one."""
    result, receipt, state = run.result, run.receipt, run.state
    facts = load_facts(run, state, open_aws)
    state = _true_state(state, result, facts)
    return {
        "run_id": run.run_id,
        "state": state,
        "store": run.store.url,
        "request": run.request.model_dump(mode="json"),
        "result": result.model_dump(mode="json") if result else None,
        "receipt": receipt.model_dump(mode="json") if receipt else None,
        "cells": cells_of(run),
        "machine": machine_to_json(facts) if facts is not None else None,
    }


def _true_state(said: State | None, result: Result | None, facts: MachineFacts | None) -> State | None:
    """A machine may carry its run's result and be gone before its last beat tells of the end."""
    if facts is None or said is None or said.ended:
        return said
    return result.state if result is not None else facts.true_state(said)


def cells_of(run: Run) -> list[dict[str, Any]]:
    """Each code cell that was begun: number, first line, state, seconds (None while it runs)."""
    cells: dict[int, dict[str, Any]] = {}
    for event in run.events():
        if event["type"] == "cell_started":
            cells[event["cell"]] = {
                "cell": event["cell"],
                "source": event["source"],
                "state": "running",
                "started": event["at"],
                "duration_s": None,
            }
        elif event["type"] == "cell_finished" and event["cell"] in cells:
            cells[event["cell"]].update(state=event["state"], duration_s=event["duration_s"])
    return list(cells.values())


def print_details(run: Run, open_aws: Callable[[], Aws]) -> None:
    """Print it for a person, on stdout. `open_aws` is asked for the machine of a run that has one."""
    state, request, result = run.state, run.request, run.result
    cells = cells_of(run)
    facts = load_facts(run, state, open_aws)
    state = _true_state(state, result, facts)
    _print_head(run, state, request, result)
    if facts is not None:
        print_machine(run, facts, state, result)
    if result is not None:
        _print_records(result)
    receipt = run.receipt
    if receipt is not None:
        _print_receipt(receipt)
    _print_files(run)
    if cells:
        typer.echo()
        _print_cells(cells, state)
        if result is not None and result.cells.not_run:
            typer.echo(f"{result.cells.not_run} more were not run.")
    if state is not None and state.ended and state is not State.SUCCEEDED:
        _print_why(run, state, result, cells, facts)
    elif facts is not None and facts.failed is not None:  # the run has not heard of it yet
        typer.echo()
        print_machine_failure(facts)
    typer.echo()
    for number, command in enumerate(_next_commands(state, facts)):
        print_line("next" if number == 0 else "", f"dayfly {command} {run.run_id}")


def load_facts(run: Run, state: State | None, open_aws: Callable[[], Aws]) -> MachineFacts | None:
    """What is known of the run's machine; None for a run that has none, which costs nothing."""
    if run.request.machine is None:
        return None
    from dayfly.aws.machine_facts import load_machine_facts

    return load_machine_facts(run, state, open_aws)


def _next_commands(state: State | None, facts: MachineFacts | None) -> list[str]:
    if state is None or not state.ended:
        return ["attach", "logs -f", "stop"]
    more = machine_commands(facts, state) if facts is not None else []
    if state is State.NEVER_STARTED:
        return [*more, "rerun", "rm"]
    return [*more, "open", "rerun"] if state is State.SUCCEEDED else [*more, "logs", "open", "rerun"]


def _print_head(run: Run, state: State | None, request: Request, result: Result | None) -> None:
    symbol = SYMBOLS.get(state, "✗" if state and state.ended else "▸") if state else "?"
    typer.echo(f"{symbol} {typer.style(run.run_id, bold=True)}  {style_state(state)}")
    print_line("notebook", request.notebook if request.notebook != "-" else "standard input")
    if request.rerun_of:
        print_line("rerun of", request.rerun_of)
    if request.parameters:
        pairs = (f"{name}={value!r}" for name, value in request.parameters.items())
        print_line("parameters", safe_text(", ".join(pairs)))
    print_line(
        "requested", f"{format_when(request.created)} ({request.created.astimezone():%Y-%m-%d %H:%M:%S})"
    )
    if result is not None:
        print_line("took", f"{format_duration(result.duration_s)} · {describe_cells(result)}")
    elif state is not None and not state.ended:
        print_line("runs for", format_duration((datetime.now(UTC) - request.created).total_seconds()))
    limits = _limits(request)
    if limits:
        print_line("limits", ", ".join(limits))
    if request.snapshot is not None and result is None:  # the receipt says it when there is one
        print_line("commit", request.snapshot.commit[:12])
    if request.image is not None:
        print_line("image", f"{request.image.tag} ({request.image.id.rpartition('sha256:')[2][:12]})")
    print_line("kernel", request.kernel)
    print_line("python", f"{request.python.executable} ({request.python.source})")
    print_line("directory", request.cwd)


def _limits(request: Request) -> list[str]:
    limits = [
        f"{name} {format_duration(seconds)}"
        for name, seconds in (("notebook", request.timeout_s), ("cell", request.cell_timeout_s))
        if seconds
    ]
    if request.cpus is not None:
        limits.append(f"{request.cpus:g} CPUs")
    if request.memory_bytes is not None:
        limits.append(f"memory {format_size(request.memory_bytes)}")
    if request.gpus is not None:
        limits.append(f"GPUs {request.gpus}")
    return limits


def _print_receipt(receipt: Receipt) -> None:
    if receipt.git is not None:
        changed = {True: ", with uncommitted changes", False: "", None: ""}[receipt.git.dirty]
        if receipt.git.dirty and receipt.git.tree is not None:
            changed = ", made of the working tree"
        branch = f" on {receipt.git.branch}" if receipt.git.branch else ""
        print_line("commit", f"{receipt.git.commit[:12]}{branch}{changed}")
    if receipt.kernel.packages:
        version = receipt.kernel.python_version or "?"
        print_line(
            "packages", f"{len(receipt.kernel.packages)} in Python {version}, listed in {layout.RECEIPT}"
        )


def _print_records(result: Result) -> None:
    for number, (name, value) in enumerate(result.records.items()):
        if number == _ALL_CELLS:
            print_line("", f"and {len(result.records) - _ALL_CELLS} more, all with --json")
            break
        shown = safe_text(f"{name} = {value!r}").replace("\n", " ")
        shown = shown if len(shown) <= _LONGEST_RECORD else f"{shown[:_LONGEST_RECORD]}…"
        print_line("recorded" if number == 0 else "", shown)


def _print_files(run: Run) -> None:
    prefix = layout.run_prefix(run.run_id)
    entries = {entry.key.removeprefix(prefix): entry.size for entry in run.store.list(prefix.rstrip("/"))}
    if layout.OUTPUT in entries:
        print_line("output", f"{place_of(run, layout.OUTPUT)} ({format_size(entries[layout.OUTPUT])})")
    outputs = {name: size for name, size in entries.items() if name.startswith(f"{layout.OUTPUTS}/")}
    for number, (name, size) in enumerate(sorted(outputs.items())):
        if number == _SLOWEST:
            print_line("", f"and {len(outputs) - _SLOWEST} more files")
            break
        shown = safe_text(name.removeprefix(f"{layout.OUTPUTS}/"))
        print_line("outputs" if number == 0 else "", f"{shown} ({format_size(size)})")


def _print_cells(cells: list[dict[str, Any]], state: State | None) -> None:
    chosen = cells
    if len(cells) > _ALL_CELLS:
        slowest = sorted(cells, key=lambda cell: -(cell["duration_s"] or 0))[:_SLOWEST]
        unusual = [cell for cell in cells if cell["state"] != "executed"]
        chosen = [cell for cell in cells if cell in slowest or cell in unusual]
    rows = []
    for cell in chosen:
        took = "" if cell["duration_s"] is None else format_duration(cell["duration_s"])
        shown = "cut short" if cell["state"] == "running" and state and state.ended else cell["state"]
        rows.append([str(cell["cell"]), shown, took, safe_text(cell["source"])[:60]])
    print_table(["CELL", "STATE", "TOOK", "SOURCE"], rows)
    if len(chosen) < len(cells):
        typer.echo(
            f"The slowest {_SLOWEST} of {len(cells)}, and those that did not end well; all with --json."
        )


def _print_why(
    run: Run,
    state: State | None,
    result: Result | None,
    cells: list[dict[str, Any]],
    facts: MachineFacts | None,
) -> None:
    typer.echo()
    if facts is not None:
        print_machine_failure(facts)
    if result is None:
        if state is State.LOST:
            done = sum(cell["state"] == "executed" for cell in cells)
            print_line("why", f"Its runner is gone and left no result. {done} cells had been executed.")
            print_line("", f"{layout.OUTPUT} is as of its last checkpoint.")
        elif state is State.NEVER_STARTED:
            print_line("why", "It was requested, and no runner ever took it up.")
            if facts is None:
                print_line("", f"See {place_of(run, layout.RUNNER_LOG)}.")
        return
    for number, line in enumerate(safe_text(result.message).splitlines() or [str(result.reason)]):
        print_line("why" if number == 0 else "", line)
    if result.failed_cell is not None and result.failed_cell.traceback:
        typer.echo()
        typer.echo(safe_text(result.failed_cell.traceback, colours=True))

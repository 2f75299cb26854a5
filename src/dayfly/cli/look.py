"""`dayfly ps`, `dayfly show` and `dayfly logs`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli.options import JsonOption, RunArgument, StoreOption, find_run, open_store_from

if TYPE_CHECKING:
    from dayfly.runs.state import State

_NEWEST = 20


def ps(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Every run, not the newest 20.")] = False,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only runs in this state, of all runs.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """List runs, newest first."""
    from dayfly.cli.text import format_duration, format_when, print_table, style_state, to_stderr
    from dayfly.runs.catalog import list_runs

    opened = open_store_from(store)
    wanted = parse_state(state)
    newest = None if everything or wanted else _NEWEST
    runs = list_runs(opened, newest=newest)
    if wanted:
        runs = [run for run in runs if run.state is wanted]
    if as_json:
        for run in runs:
            typer.echo(
                json.dumps(
                    {
                        "run_id": run.run_id,
                        "state": run.state,
                        "notebook": run.notebook,
                        "requested": run.requested.isoformat(),
                        "updated": run.updated.isoformat(),
                    }
                )
            )
        return
    if not runs:
        to_stderr(f"No runs{f' in state {wanted}' if wanted else ''} in {opened.url}.")
        if not wanted:
            to_stderr("Start one with: dayfly run NOTEBOOK")
        return
    now = datetime.now(UTC)
    rows = []
    for run in runs:
        goes_on = run.state is not None and not run.state.ended
        took = now - run.requested if goes_on else run.duration
        rows.append(
            [
                run.run_id,
                style_state(run.state),
                format_when(run.requested, now),
                format_duration(took.total_seconds()),
            ]
        )
    print_table(["RUN", "STATE", "STARTED", "TOOK"], rows)
    if newest and len(runs) == newest:
        to_stderr(f"The newest {newest}; all of them with: dayfly ps --all")


def parse_state(text: str | None) -> State | None:
    """The state that the user names; None for none. Raises UsageError."""
    from dayfly.errors import UsageError
    from dayfly.runs.state import State

    if text is None:
        return None
    try:
        return State(text.replace("-", "_"))
    except ValueError as error:
        raise UsageError(
            f"There is no state {text!r}.", why=f"The states are: {', '.join(State)}."
        ) from error


def show(name: RunArgument = "last", as_json: JsonOption = False, store: StoreOption = None) -> None:
    """Show everything about one run: state, cells with times, why it failed, what to do next."""
    from dayfly.cli.details import print_details, to_json

    run = find_run(name, store)
    if as_json:
        typer.echo(json.dumps(to_json(run), indent=1))
    else:
        print_details(run)


def logs(
    name: RunArgument = "last",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    store: StoreOption = None,
) -> None:
    """Print what the notebook printed, cell by cell."""
    import time

    from dayfly.cli.text import safe_text
    from dayfly.runs import layout
    from dayfly.runs.chunks import ChunkReader
    from dayfly.runs.follow import follow_events

    run = find_run(name, store)
    reader = ChunkReader(run.store, layout.run_key(run.run_id, layout.LOG))
    colours = sys.stdout.isatty()

    def print_new() -> None:
        text = reader.read().decode("utf-8", "replace")
        sys.stdout.write(safe_text(text, colours=colours))
        sys.stdout.flush()

    def wait(seconds: float) -> None:
        print_new()
        time.sleep(seconds)

    if follow:
        try:
            for _ in follow_events(run.store, run.run_id, wait=wait):
                pass
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    print_new()

"""`dayfly ps`, `dayfly show` and `dayfly logs`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayfly.cli.options import (
    JsonOption,
    LocalOption,
    RunArgument,
    StoreOption,
    find_named,
    find_run,
    open_aws_of_project,
    open_stores,
    tell_unheard,
)
from dayfly.cli.text import format_duration, format_when, print_table, style_state, to_stderr

if TYPE_CHECKING:
    from collections.abc import Callable

    from dayfly.backends.everywhere import PlacedRun
    from dayfly.backends.stores import Stores
    from dayfly.runs.catalog import RunSummary
    from dayfly.runs.run import Run
    from dayfly.runs.state import State

_NEWEST = 20


def ps(
    everything: Annotated[bool, typer.Option("--all", "-a", help="Every run, not the newest 20.")] = False,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only runs in this state, of all runs.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """List runs, newest first: those on this machine, and those of the project's machines in AWS.

    A sweep is one line, with how many of its points are done.
    """
    from dayfly.backends.everywhere import list_everywhere

    stores = open_stores(store, local=local)
    wanted = parse_state(state)
    newest = None if everything or wanted else _NEWEST
    listing = list_everywhere(stores, newest=newest, as_sweeps=True)
    if listing.unheard is not None:
        tell_unheard(listing.unheard)
    runs = [run for run in listing.runs if wanted in {None, run.summary.state}]
    if as_json:
        for run in runs:
            typer.echo(json.dumps(_to_json(run)))
    else:
        _print_runs(runs, stores, wanted)
        if newest and len(runs) == newest:
            to_stderr(f"The newest {newest}; all of them with: dayfly ps --all")


def _to_json(run: PlacedRun) -> dict[str, Any]:
    summary = run.summary
    return {
        "run_id": summary.run_id,
        "state": summary.state,
        "notebook": summary.notebook,
        "requested": summary.requested.isoformat(),
        "updated": summary.updated.isoformat(),
        "where": run.where,
        **({"sweep": vars(summary.counts)} if summary.counts is not None else {}),
    }


def _print_runs(runs: list[PlacedRun], stores: Stores, wanted: State | None) -> None:
    """A line for each; where it is only where that is not the same for all."""
    if not runs:
        to_stderr(f"No runs{f' in state {wanted}' if wanted else ''} in {stores.words}.")
        if not wanted:
            to_stderr("Start one with: dayfly run NOTEBOOK")
        return
    now = datetime.now(UTC)
    two = stores.open_cloud is not None
    sweeps = any(run.summary.counts is not None for run in runs)
    rows = []
    for run in runs:
        summary = run.summary
        goes_on = summary.state is not None and not summary.state.ended
        took = now - summary.requested if goes_on else summary.duration
        rows.append(
            [
                summary.run_id,
                style_state(summary.state),
                *([run.where] if two else []),
                format_when(summary.requested, now),
                format_duration(took.total_seconds()),
                *([_counts_of(summary)] if sweeps else []),
            ]
        )
    headings = ["RUN", "STATE", *(["WHERE"] if two else []), "STARTED", "TOOK"]
    print_table([*headings, *(["POINTS"] if sweeps else [])], rows)


def _counts_of(summary: RunSummary) -> str:
    """`40/60 done, 2 failed` of a sweep."""
    counts = summary.counts
    if counts is None:
        return ""
    return f"{counts.done}/{counts.points} done" + (f", {counts.failed} failed" if counts.failed else "")


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


def show(
    name: RunArgument = "last",
    as_json: JsonOption = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Show everything about one run: state, cells with times, why it failed, what to do next.

    Of a sweep: how many points are in which state, then each point, those that failed first.
    """
    from dayfly.backends.sweep_view import Sweep

    found = find_named(name, store, local=local)
    if isinstance(found, Sweep):
        from dayfly.cli.sweep_details import print_sweep_details

        print_sweep_details(found, as_json=as_json)
        return
    from dayfly.cli.details import print_details, to_json

    if as_json:
        typer.echo(json.dumps(to_json(found, open_aws_of_project), indent=1))
    else:
        print_details(found, open_aws_of_project)


def logs(
    name: RunArgument = "last",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Print what the notebook printed, cell by cell."""
    from dayfly.cli.text import safe_text
    from dayfly.runs import layout
    from dayfly.runs.chunks import ChunkReader

    run = find_run(name, store, local=local)
    reader = ChunkReader(run.store, layout.run_key(run.run_id, layout.LOG))
    colours = sys.stdout.isatty()

    def print_new() -> int:
        """Print what has come; returns how many requests that took."""
        before = reader.requests
        text = reader.read().decode("utf-8", "replace")
        sys.stdout.write(safe_text(text, colours=colours))
        sys.stdout.flush()
        return reader.requests - before

    if follow:
        try:
            _follow(run, print_new)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    print_new()


def _follow(run: Run, print_new: Callable[[], int]) -> None:
    """Print the log as it comes, after what the run's machine tells while it boots."""
    import time

    from dayfly.cli.progress import Progress
    from dayfly.cli.views import PlainView
    from dayfly.runs.follow import follow_events

    on_machine = run.request.backend == "ec2"
    view, progress = PlainView(), Progress()
    for event in follow_events(run.store, run.run_id, wait=time.sleep, on_machine=on_machine, hear=print_new):
        if event["type"].startswith("machine_"):
            progress.take(event)
            view.event(event, progress)

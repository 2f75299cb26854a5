"""`dayfly timeline`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli.options import JsonOption, LocalOption, RunArgument, StoreOption, find_run
from dayfly.cli.text import to_stderr

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.report.timeline import Timeline
    from dayfly.report.timeline_phases import Told
    from dayfly.runs.run import Run

_WIDEST = 120


def timeline(
    name: RunArgument = "last",
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write a picture there.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Show where the time of a run went, from submission to the end of its machine."""
    from dayfly.cli.options import open_aws_of_project
    from dayfly.report.timeline import to_json
    from dayfly.report.timeline_phases import make_timeline

    run = find_run(name, store, local=local)
    made = make_timeline(ask_of_run(run, open_aws_of_project), datetime.now(UTC))
    if svg is not None:
        write_svg(made, svg)
    elif as_json:
        typer.echo(json.dumps(to_json(made), indent=1))
    elif made.phases:
        print_timeline(made)
    else:
        to_stderr(f"Nothing is known of {run.run_id} but that it was asked for.")


def ask_of_run(run: Run, open_aws: Callable[[], Aws]) -> Told:
    """All that is told of the run; without an answer of AWS, what its store has."""
    from dayfly.aws.machine_facts import load_record, load_stack_events
    from dayfly.errors import DayflyError
    from dayfly.report.timeline_phases import Told
    from dayfly.runs.follow import MachineReader

    request, state = run.request, run.state
    on_machine = request.backend == "ec2"
    record = load_record(run) if on_machine else None
    stack = []
    if record is not None:
        try:
            stack = load_stack_events(open_aws(), record)
        except DayflyError as error:
            to_stderr(f"warning: what CloudFormation did is left out: {error.what}")
    return Told(
        run_id=run.run_id,
        requested=request.created,
        events=list(run.events()),
        machine=MachineReader(run.store, run.run_id).read() if on_machine else (),
        stack=stack,
        ended=state is not None and state.ended,
    )


def write_svg(made: Timeline, file: Path) -> None:
    """The picture as a file. Raises UsageError when it cannot be written."""
    from dayfly.cli.text import format_duration
    from dayfly.errors import UsageError
    from dayfly.report.timeline_svg import render_svg

    try:
        file.write_text(render_svg(made, format_duration=format_duration), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written.", why=str(error.strerror)) from error
    typer.echo(str(file))


def print_timeline(made: Timeline) -> None:
    """The picture in the terminal."""
    from rich.console import Console

    from dayfly.cli.text import format_duration, safe_text
    from dayfly.report.timeline_text import render_lines

    console = Console(highlight=False, emoji=False, markup=False)
    width = min(console.width, _WIDEST)
    took = format_duration(made.total.total_seconds())
    console.print(f"{made.run_id}  {took}", style="bold")
    console.print()
    for line in render_lines(made, width=width, format_duration=format_duration, clean=safe_text):
        console.print(line)

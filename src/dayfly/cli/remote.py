"""`dayfly run --on ec2`: say what it costs, make the machine, watch it from here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

from dayfly.cli.cloud_place import agree
from dayfly.cli.plan import describe_cost
from dayfly.cli.text import describe_deadline, is_terminal, to_stderr

if TYPE_CHECKING:
    from dayfly.aws.stacks import StackEvent
    from dayfly.backends.creation import Submission
    from dayfly.backends.ec2_target import Ec2Target
    from dayfly.runs.request import Request
    from dayfly.runs.run import Run


def run_remote(
    submission: Submission, *, detach: bool, quiet: bool, as_json: bool, yes: bool, output: str | None
) -> None:
    """Make the machine and watch the run to its end, unless told to leave it; exits with its code."""
    from dayfly.backends.creation import create_run
    from dayfly.backends.ec2 import start_ec2

    target = submission.target
    if target is None:
        raise ValueError("a run on a machine has a target")
    if submission.request.machine is not None:
        agree(submission.request.machine, yes=yes)
    if not quiet:
        _say(submission)
    request = create_run(target.store, submission)
    try:
        with show_creation(quiet=quiet or as_json) as on_event:
            run = start_ec2(target.store, request, target, on_event=on_event).run
    except KeyboardInterrupt:
        _leave_creation(request, target)
        raise typer.Exit(130) from None
    if detach:
        typer.echo(run.run_id)
        if not quiet:
            to_stderr(f"booting; follow it with: dayfly attach {run.run_id}")
        return
    _watch(run, quiet=quiet, as_json=as_json, output=output)


def _say(submission: Submission) -> None:
    """What is about to be made, in two lines, before anything costs money."""
    request, target = submission.request, submission.target
    if request.machine is None or target is None:
        return
    to_stderr(target.hardware.choice.describe())
    to_stderr(
        f"{describe_cost(request)}; gone by {describe_deadline(request.machine.deadline, request.created)}"
    )


def _leave_creation(request: Request, target: Ec2Target) -> None:
    """After Ctrl-C while the machine is made: say whether there is one, and how to come back to it."""
    from dayfly.backends.ec2 import settle_interrupted
    from dayfly.cli.leaving import leave_run
    from dayfly.errors import DayflyError
    from dayfly.runs.run import Run

    to_stderr()
    try:
        asked_for = settle_interrupted(target.store, request, target)
    except (DayflyError, KeyboardInterrupt):
        to_stderr(f"If AWS was asked for a machine, it goes on. See with: dayfly show {request.run_id}")
        to_stderr(f"End it with: dayfly stop --now {request.run_id}")
        return
    if asked_for:
        leave_run(Run(request.run_id, target.store))
    else:
        to_stderr(f"No machine was made for {request.run_id}; it will not run.")


@contextmanager
def show_creation(*, quiet: bool) -> Iterator[Callable[[StackEvent], None]]:
    """Shows how the stack comes to be: a line that changes, or a line for each thing in a log."""
    if quiet:
        yield lambda _: None
        return
    if not is_terminal() or os.environ.get("TERM") == "dumb":
        yield lambda event: to_stderr(_describe(event))
        return
    from rich.console import Console

    with Console(stderr=True).status("creating the machine: its deadline is armed") as status:
        yield lambda event: status.update(f"creating the machine: {_describe(event)}")


def _describe(event: StackEvent) -> str:
    reason = f" ({event.reason})" if event.failed and event.reason else ""
    return f"{event.logical_id} {event.status.lower().replace('_', ' ')}{reason}"


def _watch(run: Run, *, quiet: bool, as_json: bool, output: str | None) -> None:
    from dayfly.cli.leaving import watch_or_leave
    from dayfly.cli.summary import exit_with

    state = watch_or_leave(run, quiet=quiet, as_json=as_json)
    if output is not None:
        _hand_over(run, output)
    exit_with(run, state, quiet=quiet or as_json)


def _hand_over(run: Run, output: str) -> None:
    """The executed notebook where `-o` asks for it; of a run that has none, its end says why."""
    from pathlib import Path

    from dayfly.errors import RunConflictError

    try:
        content = run.output_bytes()
    except RunConflictError:
        return
    if output == "-":
        with suppress(BrokenPipeError):
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        return
    try:
        Path(output).write_bytes(content)
    except OSError as error:  # the run counts
        to_stderr(f"warning: {output} cannot be written: {error.strerror}")
        to_stderr(f"  Fetch the notebook with: dayfly fetch {run.run_id}")

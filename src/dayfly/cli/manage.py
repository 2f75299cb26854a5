"""`dayfly stop`, `dayfly rm` and `dayfly prune`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli.options import (
    LocalOption,
    RunArgument,
    StoreOption,
    find_named,
    open_aws_of_project,
    open_store_from,
)
from dayfly.cli.text import safe_text, to_stderr
from dayfly.errors import UsageError
from dayfly.runs.asker import user_name

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.aws.stacks import StackEvent
    from dayfly.runs.catalog import RunSummary
    from dayfly.runs.run import Run
    from dayfly.runs.state import State
    from dayfly.runs.store import Store

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def stop(
    name: RunArgument,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
    now: Annotated[
        bool,
        typer.Option("--now", help="Delete the machine of a run at once, whatever it is doing."),
    ] = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Interrupt a run or a sweep, save what there is, and end it as cancelled; or end a machine."""
    from dayfly.backends.sweep_view import Sweep
    from dayfly.errors import RunNotFoundError

    try:
        run = find_named(name, store, local=local)
    except RunNotFoundError:
        if name == "last" or local or store is not None or not _stop_machine(name):
            raise
        return
    if isinstance(run, Sweep):
        from dayfly.cli.sweep_manage import stop_sweep

        stop_sweep(run, wait=wait)
        return
    state = run.state
    machine = run.request.backend == "ec2" and (now or (state is not None and state.ended))
    if machine:
        _end_machine_of(run, state)
    elif now:
        raise UsageError(f"The run {run.run_id} has no machine.", hint=f"End it with: dayfly stop {name}")
    else:
        _stop_run(run, wait=wait)


def _stop_run(run: Run, *, wait: bool) -> None:
    run.stop(by=user_name())
    to_stderr(f"Asked {run.run_id} to stop.")
    if run.request.backend == "ec2":
        to_stderr(f"If its machine does not answer, end it with: dayfly stop --now {run.run_id}")
    if wait:
        from dayfly.cli.summary import print_summary

        print_summary(run, run.wait())


def _end_machine_of(run: Run, state: State | None) -> None:
    """End the machine of a run, which may outlive it, or be asked to end before it."""
    from dayfly.aws.machine_facts import load_record
    from dayfly.aws.stacks import find_stack

    goes_on = state is None or not state.ended
    if goes_on:
        run.stop(by=user_name())  # the machine may still save something while it shuts down
    record, source = load_record(run), run.request.machine
    aws = open_aws_of_project() if record is not None else None
    stack = find_stack(aws, record.stack_id) if aws is not None and record is not None else None
    if aws is None or record is None or source is None or stack is None or stack.status == "DELETE_COMPLETE":
        if _stop_machine(run.run_id):  # one that nobody has written down: its submission was cut off
            return
        if not goes_on:
            run.stop()  # says that it has ended
        to_stderr(f"{run.run_id} has no machine any more.")
        return
    _end_stack(aws, project=source.project, stack_id=record.stack_id, schedule=record.schedule)
    _settle(run, aws)


def _settle(run: Run, aws: Aws) -> None:
    """End a run whose machine is gone and never came to its notebook: nobody else would, for minutes."""
    from dayfly.backends.ec2 import tell_never_started
    from dayfly.errors import AwsError
    from dayfly.runs.state import State

    if run.state in {State.PROVISIONING, State.BOOTING, State.PULLING}:
        ended = AwsError("Its machine was ended before the notebook began (dayfly stop --now).")
        tell_never_started(run.store, run.request, ended, now=aws.now())


def _stop_machine(name: str) -> bool:
    """End the machine of a build or a lab, which no run has; whether there is one."""
    from dayfly.aws.machines import end_instance
    from dayfly.cli.machines import find_machine_of_project
    from dayfly.errors import AwsError, MissingExtraError

    try:
        found = find_machine_of_project(name)
    except (AwsError, MissingExtraError):  # that there is no such run is what must be told
        found = None
    if found is None:
        return False
    aws, machine = found
    if machine.stack_id:
        _end_stack(aws, project=machine.project, stack_id=machine.stack_id, schedule=machine.schedule)
    else:
        end_instance(aws, machine.instance_id)
        to_stderr(f"Ending {machine.instance_id}, which has no stack.")
    return True


def _end_stack(aws: Aws, *, project: str, stack_id: str, schedule: str) -> None:
    from dayfly.aws.machines import end_stack

    def tell(event: StackEvent) -> None:
        if event.status.startswith("DELETE_") and not event.of_stack:
            to_stderr(safe_text(f"  {event.logical_id}  {event.status}  {event.reason}".rstrip()))

    name = stack_id.split("/")[1] if "/" in stack_id else stack_id
    to_stderr(f"Deleting the stack {name}")
    try:
        end_stack(aws, project=project, stack_id=stack_id, schedule=schedule, on_event=tell)
    except KeyboardInterrupt:
        to_stderr("Its deletion goes on. See how far it is with: dayfly machines")
        raise
    to_stderr("The machine and its deadline's schedule are gone.")


def rm(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run ids, unique prefixes, or `last`.")
    ],
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Remove runs that have ended, with all their files; a sweep goes with all its runs.

    S.7, a point of a sweep, goes with every attempt at it; S.7.2 is the second one alone.
    """
    from dayfly.backends.sweep_names import parse_name
    from dayfly.backends.sweep_removal import remove_point, remove_run_or_attempt, remove_sweep
    from dayfly.backends.sweep_view import Sweep

    found = [(parse_name(name), find_named(name, store, local=local)) for name in names]
    for named, each in found:
        if isinstance(each, Sweep):
            remove_sweep(each.store, each.sweep_id)
            typer.echo(each.sweep_id)
        elif named.index is not None and named.attempt is None:
            for run_id in remove_point(each.store, each.run_id):
                typer.echo(run_id)
        else:
            remove_run_or_attempt(each.store, each.run_id)
            typer.echo(each.run_id)


def prune(
    older_than: Annotated[str, typer.Option("--older-than", metavar="DURATION", help="Such as 30d.")],
    state: Annotated[str | None, typer.Option("--state", help="Only runs in this state.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be removed.")] = False,
    yes: YesOption = False,
    store: StoreOption = None,
) -> None:
    """Remove runs that ended and are older than a duration, and snapshots that no run needs any more."""
    from datetime import timedelta

    from dayfly.backends.sweep_listing import list_with_sweeps
    from dayfly.cli.look import parse_state
    from dayfly.project.units import parse_duration

    try:
        age = timedelta(seconds=parse_duration(older_than))
    except ValueError as error:
        raise UsageError(f"--older-than {older_than!r} {error}.") from error
    opened, wanted = open_store_from(store), parse_state(state)
    limit = datetime.now(UTC) - age
    chosen = [
        run
        for run in list_with_sweeps(opened)
        if run.requested < limit and run.state is not None and run.state.ended and wanted in {None, run.state}
    ]
    if not chosen:
        to_stderr(f"No runs are older than {older_than}.")
        _prune_snapshots(opened, dry_run=dry_run)
        return
    if not dry_run and not yes:
        typer.confirm(f"Remove {_runs(len(chosen))} from {opened.url}?", abort=True, err=True)
    removed = 0
    for run in chosen:
        if dry_run or _remove(opened, run):
            typer.echo(run.run_id)
            removed += 1
    to_stderr(f"{'Would remove' if dry_run else 'Removed'} {_runs(removed)}.")
    _prune_snapshots(opened, dry_run=dry_run)


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"


def _remove(opened: Store, run: RunSummary) -> bool:
    """Remove a run or a whole sweep; False, with a word, for a sweep that a younger one needs."""
    from contextlib import suppress

    from dayfly.backends.sweep_removal import remove_sweep
    from dayfly.errors import RunConflictError, RunNotFoundError
    from dayfly.runs.removal import remove_run

    with suppress(RunNotFoundError):  # somebody else has removed it meanwhile
        if run.counts is None:
            remove_run(opened, run.run_id)
            return True
        try:
            remove_sweep(opened, run.run_id)
        except RunConflictError as error:
            to_stderr(f"{run.run_id} stays. {error.what}")
            return False
    return True


def _prune_snapshots(opened: Store, *, dry_run: bool) -> None:
    """Runs of one commit share its bundle: it goes when none of them is left."""
    from dayfly.runs.removal import remove_unused_snapshots

    if not dry_run and (removed := remove_unused_snapshots(opened, now=datetime.now(UTC))):
        to_stderr(f"Removed the snapshots of {len(removed)} commits that no run has any more.")

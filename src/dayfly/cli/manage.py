"""`dayfly stop`, `dayfly rm` and `dayfly prune`."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli.options import LocalOption, RunArgument, StoreOption, find_run, open_store_from

if TYPE_CHECKING:
    from dayfly.runs.store import Store

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def stop(
    name: RunArgument,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Interrupt a run, save what there is, and end it as cancelled."""
    from dayfly.cli.summary import print_summary
    from dayfly.cli.text import to_stderr

    run = find_run(name, store, local=local)
    run.stop(by=_user_name())
    to_stderr(f"Asked {run.run_id} to stop.")
    if wait:
        print_summary(run, run.wait())


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container, with an id that has no name
        return f"user {os.getuid()}"


def rm(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run ids, unique prefixes, or `last`.")
    ],
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Remove runs that have ended, with all their files."""
    from dayfly.runs.removal import remove_run

    runs = [find_run(name, store, local=local) for name in names]
    for run in runs:
        remove_run(run.store, run.run_id)
        typer.echo(run.run_id)


def prune(
    older_than: Annotated[str, typer.Option("--older-than", metavar="DURATION", help="Such as 30d.")],
    state: Annotated[str | None, typer.Option("--state", help="Only runs in this state.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be removed.")] = False,
    yes: YesOption = False,
    store: StoreOption = None,
) -> None:
    """Remove runs that ended and are older than a duration, and snapshots that no run needs any more."""
    from contextlib import suppress
    from datetime import timedelta

    from dayfly.cli.look import parse_state
    from dayfly.cli.text import to_stderr
    from dayfly.errors import RunNotFoundError, UsageError
    from dayfly.project.units import parse_duration
    from dayfly.runs.catalog import list_runs
    from dayfly.runs.removal import remove_run

    try:
        age = timedelta(seconds=parse_duration(older_than))
    except ValueError as error:
        raise UsageError(f"--older-than {older_than!r} {error}.") from error
    opened, wanted = open_store_from(store), parse_state(state)
    limit = datetime.now(UTC) - age
    chosen = [
        run
        for run in list_runs(opened)
        if run.requested < limit and run.state is not None and run.state.ended and wanted in {None, run.state}
    ]
    if not chosen:
        to_stderr(f"No runs are older than {older_than}.")
        _prune_snapshots(opened, dry_run=dry_run)
        return
    if not dry_run and not yes:
        typer.confirm(f"Remove {len(chosen)} runs from {opened.url}?", abort=True, err=True)
    for run in chosen:
        if not dry_run:
            with suppress(RunNotFoundError):  # somebody else has removed it meanwhile
                remove_run(opened, run.run_id)
        typer.echo(run.run_id)
    to_stderr(f"{'Would remove' if dry_run else 'Removed'} {len(chosen)} runs.")
    _prune_snapshots(opened, dry_run=dry_run)


def _prune_snapshots(opened: Store, *, dry_run: bool) -> None:
    """Runs of one commit share its bundle: it goes when none of them is left."""
    from dayfly.cli.text import to_stderr
    from dayfly.runs.removal import remove_unused_snapshots

    if not dry_run and (removed := remove_unused_snapshots(opened, now=datetime.now(UTC))):
        to_stderr(f"Removed the snapshots of {len(removed)} commits that no run has any more.")

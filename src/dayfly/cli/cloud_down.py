"""`dayfly cloud down`: what is shown and asked on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dayfly.cli.text import to_stderr

if TYPE_CHECKING:
    from dayfly.aws.base_down import DownPlan
    from dayfly.aws.client import Aws


def take_down(aws: Aws, project: str, *, delete_data: bool, force: bool, dry_run: bool, yes: bool) -> None:
    """Show what goes and what stays, ask, and carry it out."""
    from dayfly.aws.base_down import apply_down, plan_down
    from dayfly.aws.identity import load_identity
    from dayfly.cli.cloud_live import follow_stack
    from dayfly.cli.cloud_up import agree

    account = load_identity(aws).account
    plan = plan_down(aws, project, account, delete_data=delete_data, force=force)
    _show(plan, aws.region)
    if plan.nothing or dry_run:
        return
    question = "Delete all of it, runs and images too?" if delete_data else "Take it down?"
    if not agree(f"{question} ({project} in account {account}, {aws.region})", yes=yes):
        to_stderr("Nothing was deleted.")
        raise typer.Exit(1)
    with follow_stack({}) as event:
        apply_down(aws, plan, tell=to_stderr, on_event=event)
    if not delete_data:
        _tell_kept(plan)
    elif plan.kept.words:
        to_stderr("Where dayfly.toml names the bucket, take that line out, or make it again: dayfly cloud up")


def _show(plan: DownPlan, region: str) -> None:
    if plan.stack is None:
        to_stderr(f"There is no base stack of {plan.project} in {region}.")
    else:
        typer.echo(f"goes   stack {plan.stack.name} ({plan.stack.status})")
    for one in plan.machines:
        typer.echo(f"goes   machine {one.machine_id} {one.instance_id}".rstrip())
    for line in plan.kept.words:
        typer.echo(f"goes   {line}, with all that is in it" if plan.delete_data else f"stays  {line}")
    if plan.nothing and plan.kept.words:
        _tell_kept(plan)


def _tell_kept(plan: DownPlan) -> None:
    """What is kept costs money, so nobody should forget it."""
    if not plan.kept.words:
        return
    to_stderr("What stays is paid by the gigabyte, and is used again by: dayfly cloud up")
    to_stderr("Delete it, and all runs and images with it: dayfly cloud down --delete-data")

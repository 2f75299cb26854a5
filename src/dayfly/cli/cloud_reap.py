"""`dayfly cloud reap`: what is told of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from dayfly.cli.text import format_duration, print_table, safe_text, to_stderr

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.aws.reap import Reaped
    from dayfly.aws.reap_plan import Overdue, ReapPlan
    from dayfly.project.load import Project


def reap_all(aws: Aws, project: Project, name: str, *, dry_run: bool, as_json: bool) -> bool:
    """End what is overdue, or show it; whether all of it is gone."""
    from dayfly.aws.reap import apply_reap
    from dayfly.aws.reap_plan import plan_reap
    from dayfly.backends.stores import open_bucket

    bucket = project.settings.aws.bucket
    store = open_bucket(bucket, profile=aws.profile, region=aws.region) if bucket else None
    plan = plan_reap(aws, name, store=store)
    tell = (lambda _: None) if as_json else to_stderr
    reaped = [] if dry_run else apply_reap(aws, name, plan, tell=tell)
    if as_json:
        typer.echo(json.dumps(_facts(plan, reaped, dry_run=dry_run), indent=1, default=str))
    else:
        _print(aws, plan, reaped, dry_run=dry_run)
    return all(not one.problem for one in reaped)


def _facts(plan: ReapPlan, reaped: list[Reaped], *, dry_run: bool) -> dict[str, object]:
    ended = [{**asdict(one.what), "problem": one.problem} for one in reaped]
    return {
        "overdue": [asdict(one) for one in plan.overdue],
        "ended": None if dry_run else ended,
        "unjudged": list(plan.unjudged),
        "lost_runs": list(plan.lost_runs),
    }


def _print(aws: Aws, plan: ReapPlan, reaped: list[Reaped], *, dry_run: bool) -> None:
    if not plan.overdue:
        to_stderr("Nothing is past its deadline.")
    elif dry_run:
        rows = [[one.kind, _name(one), one.machine_id, _late(aws, one)] for one in plan.overdue]
        print_table(["KIND", "NAME", "MACHINE", "PAST ITS DEADLINE BY"], rows)
        to_stderr("End them with: dayfly cloud reap")
    else:
        for one in reaped:
            typer.echo(f"{'✗' if one.problem else '✓'} {one.what.kind} {_name(one.what)}")
            if one.problem:
                typer.echo(f"  {safe_text(one.problem)}")
    for name in plan.unjudged:
        to_stderr(f"{name} has no deadline that can be read: it is left alone.")
    for run_id in plan.lost_runs:
        to_stderr(f"The run {run_id} is said to go on, but its machine is gone: dayfly show {run_id}")


def _name(one: Overdue) -> str:
    """A stack's name in place of its id."""
    return one.name.split("/")[1] if one.kind == "stack" and "/" in one.name else one.name


def _late(aws: Aws, one: Overdue) -> str:
    return format_duration((aws.now() - one.deadline).total_seconds())

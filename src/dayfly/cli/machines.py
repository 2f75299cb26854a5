"""`dayfly machines`: what is alive in AWS now, what it costs, and when it ends."""

from __future__ import annotations

import json
import os
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayfly.cli.options import JsonOption
from dayfly.cli.text import format_duration, format_when, print_table, safe_text, to_stderr

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.aws.machines import Machine

_WELL = {"CREATE_COMPLETE", "CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}


def machines(
    all_projects: Annotated[
        bool, typer.Option("--all-projects", help="Those of every project in the region.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the machines that are alive now, what they cost, and when they end."""
    from dayfly.aws.account import aws_project_name, open_project_aws
    from dayfly.aws.cache import open_cache
    from dayfly.aws.machines import list_machines, with_prices
    from dayfly.project.load import load_project

    project = load_project(Path.cwd(), os.environ, only="aws")
    aws = open_project_aws(project)
    name = None if all_projects else aws_project_name(project)
    found = with_prices(aws, open_cache(aws, os.environ), list_machines(aws, name))
    if as_json:
        for machine in found:
            typer.echo(json.dumps(to_json(machine, aws.now())))
        return
    where = f"in {aws.region}" if name is None else f"of the project {name} in {aws.region}"
    if not found:
        to_stderr(f"No machine {where} is alive.")
        return
    print_machines(found, aws.now(), projects=all_projects)


def to_json(machine: Machine, now: datetime) -> dict[str, Any]:
    """One machine for programs: times in UTC, dollars as text."""
    cost, price = machine.cost(now), machine.price
    return {
        "id": machine.machine_id,
        "project": machine.project,
        "task": machine.task,
        "owner": machine.owner,
        "instance_type": machine.instance_type,
        "spot": machine.spot,
        "zone": machine.zone,
        "instance_id": machine.instance_id,
        "instance_state": machine.instance_state,
        "since": machine.since.isoformat(),
        "price_per_hour": None if price is None else str(price.per_hour),
        "price_at": None if price is None else price.at.isoformat(),
        "cost_so_far": None if cost is None else str(cost),
        "deadline": None if machine.deadline is None else machine.deadline.isoformat(),
        "stack": machine.stack_name,
        "stack_id": machine.stack_id,
        "stack_status": machine.status,
        "stack_status_reason": machine.reason,
    }


def print_machines(found: list[Machine], now: datetime, *, projects: bool) -> None:
    """Two lines for each: what it is and costs, then whose, where, since when and in what state."""
    from dayfly.aws.money import dollars, dollars_per_hour

    rows, notes = [], []
    for machine in found:
        price, cost = machine.price, machine.cost(now)
        rows.append(
            [
                machine.machine_id or machine.instance_id,
                (machine.instance_type or "?") + (" spot" if machine.spot else ""),
                "unknown" if price is None else dollars_per_hour(price.per_hour),
                "unknown" if cost is None else dollars(cost),
                describe_left(machine.deadline, now),
            ]
        )
        notes.append(_note(machine, now, projects=projects))
    print_table(["MACHINE", "TYPE", "AN HOUR", "SO FAR", "ENDS"], rows, notes)
    prices = [machine.price.per_hour for machine in found if machine.price is not None]
    count = "1 machine" if len(found) == 1 else f"{len(found)} machines"
    line = f"{count}, {dollars_per_hour(sum(prices, Decimal(0)))} together"
    if len(prices) < len(found):
        line += f"; the price of {len(found) - len(prices)} is unknown"
    typer.echo(f"\n{line}. End one with: dayfly stop ID")


def describe_left(deadline: datetime | None, now: datetime) -> str:
    """`in 2h 03m`, or that it should be gone."""
    if deadline is None:
        return "unknown"
    left_s = (deadline - now).total_seconds()
    if left_s < 0:
        return typer.style(f"{format_duration(-left_s)} ago!", fg=typer.colors.RED)
    return f"in {format_duration(left_s)}"


def _note(machine: Machine, now: datetime, *, projects: bool) -> str:
    state = machine.status if machine.status in _WELL else typer.style(machine.status, fg=typer.colors.RED)
    words = [
        *([machine.project] if projects else []),
        f"{machine.task or 'machine'} by {machine.owner or 'somebody'}",
        *([f"in {machine.zone}"] if machine.zone else []),
        f"since {format_when(machine.since, now)}",
        state,
    ]
    return safe_text(" · ".join(words), colours=True)


def find_machine_of_project(name: str) -> tuple[Aws, Machine] | None:
    """The machine alive in the project that `name` means; None where there is none, or no project in AWS.

    Raises AwsError, and RunNotFoundError when several machines could be meant.
    """
    from dayfly.aws.account import aws_project_name, open_project_aws
    from dayfly.aws.machines import find_machine, list_machines
    from dayfly.project.load import load_project

    project = load_project(Path.cwd(), os.environ, only="aws")
    if project.settings.aws.bucket is None:
        return None
    aws = open_project_aws(project)
    machine = find_machine(list_machines(aws, aws_project_name(project)), name)
    return None if machine is None else (aws, machine)

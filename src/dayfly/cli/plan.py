"""What would run, on what, and for how much: `--dry-run`, and what is said before a machine is made."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import typer

from dayfly.cli.text import describe_deadline, format_duration, format_size

if TYPE_CHECKING:
    from dayfly.backends.creation import Submission
    from dayfly.backends.ec2_target import Ec2Target
    from dayfly.runs.machine import MachineSource
    from dayfly.runs.request import Request


class OnMachine(Protocol):
    """A request, of a run or of another task, that may have a machine."""

    @property
    def created(self) -> datetime:
        """When it was made."""

    @property
    def machine(self) -> MachineSource | None:
        """The machine, with its price and deadline."""


def print_plan(submission: Submission, *, as_json: bool) -> None:
    """The plan of a run, on stdout; nothing was created, and nothing will be."""
    if as_json:
        typer.echo(json.dumps(plan_facts(submission), indent=1))
        return
    for name, value in plan_lines(submission):
        typer.echo(f"{name:<10} {value}")


def plan_facts(submission: Submission) -> dict[str, Any]:
    """The same for programs: the request as it would be, and the machine with its price."""
    request, target = submission.request, submission.target
    facts: dict[str, Any] = {"request": request.model_dump(mode="json")}
    if target is not None and request.machine is not None:
        plan = target.plan(request)
        most = most_it_costs(request)
        facts["machine"] = {
            "stack": plan.stack_name(1),
            "why": target.hardware.choice.describe(),
            "subnets": list(plan.subnet_ids),
            "tags": plan.tags,
            "parameters": plan.parameters(1),
            "at_most_dollars": None if most is None else str(most),
        }
    return facts


def plan_lines(submission: Submission) -> list[tuple[str, str]]:
    """The plan in words, for people."""
    request, target = submission.request, submission.target
    lines = [("notebook", request.notebook), ("on", request.backend), ("kernel", request.kernel)]
    if request.parameters:
        lines.append(("parameters", json.dumps(request.parameters, ensure_ascii=False)))
    if request.snapshot is not None:
        changed = " and the changes since" if request.snapshot.dirty else ""
        lines.append(("commit", f"{(request.snapshot.base or request.snapshot.commit)[:12]}{changed}"))
    if request.image is not None:
        lines.append(("image", request.image.tag))
    if target is None:
        limit = "none" if request.timeout_s is None else format_duration(request.timeout_s)
        return [*lines, ("python", request.python.executable), ("timeout", limit)]
    return lines + machine_lines(request, target)


def machine_lines(request: Request, target: Ec2Target) -> list[tuple[str, str]]:
    """What the machine is, how long it may live, and what it costs at most."""
    machine, hardware = request.machine, target.hardware
    if machine is None:
        return []
    disk = format_size(machine.disk_gib << 30)
    lines = [
        ("machine", hardware.choice.describe()),
        ("where", f"{target.base.region}, {len(hardware.subnet_ids)} zones, {disk} disk, {machine.ami}"),
        ("timeout", _timeout(request, target)),
        ("gone by", describe_deadline(machine.deadline, request.created)),
        ("cost", describe_cost(request)),
    ]
    if machine.access:
        lines.append(("access", "the notebook may use the machine's AWS role"))
    if target.ssh_cidr:
        lines.append(("ssh", f"port 22 is open to {target.ssh_cidr}"))
    return lines


def _timeout(request: Request, target: Ec2Target) -> str:
    limit = format_duration(request.timeout_s or 0)
    if target.shortened_from_s is None:
        return limit
    return f"{limit}, in place of {format_duration(target.shortened_from_s)}: --max-cost pays for no more"


def describe_cost(request: OnMachine) -> str:
    """At most so many dollars, at which price, and of when that is."""
    machine, most = request.machine, most_it_costs(request)
    if machine is None or most is None or machine.price_per_hour is None or machine.price_at is None:
        return "unknown: AWS's price list could not be read"
    from dayfly.aws.money import dollars, dollars_per_hour

    said = machine.price_at.astimezone()
    each = dollars_per_hour(machine.price_per_hour)
    return f"at most {dollars(most)} ({each} with disk and address, as of {said:%Y-%m-%d %H:%M})"


def most_it_costs(request: OnMachine) -> Decimal | None:
    """Dollars for a machine that lives to its deadline; None when the price is not known."""
    machine = request.machine
    if machine is None or machine.price_per_hour is None or machine.price_at is None:
        return None
    from dayfly.aws.estimates import estimate
    from dayfly.aws.prices import Price

    price = Price(per_hour=machine.price_per_hour, at=machine.price_at)
    return estimate(price, machine.deadline - request.created)

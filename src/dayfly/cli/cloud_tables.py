"""The base stack in tables, for terminals of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from dayfly.aws.money import dollars

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from dayfly.aws.base_apply import ChangeSet
    from dayfly.aws.base_plan import BasePlan, Permission, PlannedResource
    from dayfly.aws.base_status import BaseStatus
    from dayfly.aws.batch_status import BatchJob, BatchStatus
    from dayfly.aws.doctor import Finding
    from dayfly.aws.extras import Extras

_ARN_PARTS = 6
_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "wrong": ("✗", "red")}
_ACTIONS = {
    "Add": ("+", "green"),
    "Modify": ("~", "yellow"),
    "Remove": ("-", "red"),
    "Import": ("+", "green"),
    "Dynamic": ("~", "yellow"),
}


def open_console() -> Console:
    """Where tables are drawn: stdout; 80 columns where it is no terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def _table(*headings: str, **options: Any) -> Table:
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", **options)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def draw_plan(console: Console, plan: BasePlan, extras: Extras) -> None:
    """What would be made, why, and what it costs; then who may do what."""
    console.print(f"The base stack [bold]{plan.stack_name}[/] in {plan.region}, account {plan.account}")
    console.print(_situation(plan), style="dim")
    console.print()
    table = _table("WHAT", "WHY", "A MONTH")
    table.columns[0].no_wrap = table.columns[2].no_wrap = True
    for one in plan.resources:
        name = f"\n[dim]{escape(one.name)}[/]" if one.name else ""
        table.add_row(f"[bold]{one.kind}[/]", one.why + name, _idle(one))
    console.print(table)
    console.print("* while nothing is kept in it", style="dim")
    console.print()
    draw_permissions(console, plan)
    console.print()
    for line in _facts(plan):
        console.print(line)
    console.print(_sum(plan, extras))


def _situation(plan: BasePlan) -> str:
    if plan.action == "create":
        return f"It is not there yet. All of this would be made, by {plan.caller}."
    if plan.stack is not None and plan.action == "replace":
        return f"It is {plan.stack.status}: what is left of it would be deleted, and all of this be made."
    if plan.action == "follow":
        return "Somebody is changing it just now."
    changed = ", ".join(plan.changed) if plan.changed else "none"
    return f"It stands. Parameters that would change: {changed}."


def _idle(one: PlannedResource) -> str:
    if one.monthly is None:
        return "unknown"
    return f"${one.monthly:.2f}" + ("*" if one.keeps else "")


def draw_permissions(console: Console, plan: BasePlan) -> None:
    """Every role and policy with what it may do, and on what."""
    table = _table("WHO", "MAY")
    table.columns[0].no_wrap = True
    for one in plan.resources:
        lines = [f"[dim]what {' and '.join(one.policies)} may[/]"] if one.policies else []
        lines += [_permission(plan, found) for found in one.permissions]
        if lines:
            table.add_row(f"[bold]{one.logical_id}[/]", "\n".join(lines))
    console.print(table)


def _permission(plan: BasePlan, found: Permission) -> str:
    """Services, their actions, and on what: `s3 GetObject on bucket/runs/*`."""
    services: dict[str, list[str]] = {}
    for action in found.actions:
        service, _, call = action.partition(":")
        services.setdefault(service, []).append(call)
    actions = "; ".join(f"{service} {', '.join(calls)}" for service, calls in services.items())
    on = [short_arn(one).replace(plan.parameters["BucketName"], "bucket") for one in found.resources]
    return escape(actions) + (f" [dim]on[/] {escape(', '.join(on))}" if on != ["*"] else "")


def short_arn(arn: str) -> str:
    """An ARN without partition, service, region and account, which are this account's."""
    parts = arn.split(":", _ARN_PARTS - 1)
    return parts[-1] if len(parts) == _ARN_PARTS else arn


def _facts(plan: BasePlan) -> Iterable[str]:
    values = plan.parameters
    network = {"create": "one of its own", "default": f"the default VPC {values.get('VpcId')}"}
    subnets = values.get("SubnetIds", "").replace(",", ", ")
    yield f"Network: {network.get(values['Network'], 'given')}" + (f", {subnets}" if subnets else "")
    for parameter, what in (("CreateBucket", "The bucket"), ("CreateRepository", "The image repository")):
        if values.get(parameter) == "false":
            yield f"{what} was kept from an earlier life, and is used again."
    if values.get("PermissionsBoundary"):
        yield f"Every role is bounded by {values['PermissionsBoundary']}."


def _sum(plan: BasePlan, extras: Extras) -> str:
    total = "unknown" if plan.monthly is None else dollars(plan.monthly)
    return (
        f"Idle: [bold]{total}[/] a month, plus what you keep: {_per_gb(extras.bucket_per_gb_month)} a GB "
        f"in the bucket, {_per_gb(extras.images_per_gb_month)} a GB of images."
    )


def _per_gb(price: Decimal | None) -> str:
    return "(price unknown)" if price is None else dollars(price)


def draw_changes(console: Console, plan: BasePlan, change: ChangeSet) -> None:
    """What an update would do, as CloudFormation has worked it out."""
    console.print(f"CloudFormation would change [bold]{plan.stack_name}[/] in {plan.region}:")
    for name, (old, new) in plan.changed.items():
        console.print(f"  {name}: {_short(old) or 'none'} → {_short(new) or 'none'}", markup=False)
    console.print()
    table = _table("", "WHAT", "KIND", "")
    for one in change.changes:
        mark, colour = _ACTIONS.get(one.action, ("?", "yellow"))
        how = "[red]replaced by another[/]" if one.replaced and one.action == "Modify" else one.action.lower()
        table.add_row(f"[{colour}]{mark}[/]", one.logical_id, one.type.removeprefix("AWS::"), how)
    console.print(table)


def _short(value: str) -> str:
    return value if len(value) <= 50 else value[:47] + "..."


def draw_status(console: Console, status: BaseStatus) -> None:
    """What stands, what it costs, what lives."""
    base, kept = status.base, status.storage
    table = _table("", "")
    table.show_header = False
    version = f"version {base.version}"
    if base.version < status.newest_version:
        version += f"; version {status.newest_version} is to be had: dayfly cloud up"
    versions = f", {kept.versions} versions" if kept.versions is not None else ""
    table.add_row("base stack", f"[bold]{base.project}[/] in {base.region}: {base.status}, {version}")
    table.add_row("bucket", base.bucket)
    table.add_row("", f"{kept.objects} objects{versions}, {_size(kept.bucket_bytes)}")
    table.add_row("images", f"{kept.images}, {_size(kept.images_bytes)}")
    if base.mirror:
        table.add_row("mirror", base.mirror)
    table.add_row("network", f"{base.vpc_id}, {len(base.subnet_ids)} subnets")
    monthly = "unknown" if status.monthly is None else dollars(status.monthly)
    table.add_row("idle", f"{monthly} a month, for what is kept")
    table.add_row("machines", _machines(status))
    if status.batch is not None:
        table.add_row("batch", _batch(status.batch))
        table.add_row("jobs", _jobs(status.batch))
    if status.drift is not None:
        table.add_row("drift", _drift(status))
    console.print(table)


def _size(size: int) -> str:
    from dayfly.cli.text import format_size

    return format_size(size)


def _machines(status: BaseStatus) -> str:
    if not status.machines:
        return "none alive"
    return "\n".join(f"{one.machine_id} {one.instance_type} {one.status}" for one in status.machines)


def _batch(batch: BatchStatus) -> str:
    """Each compute environment, and each queue that takes nothing."""
    if batch.problem:
        return escape(f"unknown: {batch.problem}")
    lines = [
        f"{one.name} ({one.kind}): {_well(one.state, one.status)}, {one.vcpus} of {one.max_vcpus} vCPUs"
        + (f"\n[dim]{escape(one.reason)}[/]" if one.reason else "")
        for one in batch.environments
    ]
    lines += [f"queue {one.name}: {_well(one.state, one.status)}" for one in batch.queues]
    return "\n".join(lines)


def _well(state: str, status: str) -> str:
    said = f"{state}, {status}"
    return said if said == "ENABLED, VALID" else f"[red]{said}[/]"


def _jobs(batch: BatchStatus) -> str:
    if not batch.jobs:
        return "unknown" if batch.problem else "none alive"
    return "\n".join(f"{one.sweep_id} {_children(one)}, gone by {one.deadline}" for one in batch.jobs)


def _children(job: BatchJob) -> str:
    if not job.counts:
        return job.status
    return ", ".join(f"{number:,} {state}" for state, number in job.counts.items())


def _drift(status: BaseStatus) -> str:
    if not status.drift:
        return "[green]none: all is as the template says[/]"
    return "\n".join(f"[red]{one.logical_id}[/] ({one.type}): {one.status}" for one in status.drift)


def draw_findings(console: Console, findings: Sequence[Finding]) -> None:
    """A line for each check, and below it what mends it."""
    table = _table("", "", "")
    table.show_header = False
    for one in findings:
        mark, colour = _MARKS[one.verdict]
        mend = f"\n[dim]→ {escape(one.mend)}[/]" if one.mend else ""
        table.add_row(f"[{colour}]{mark}[/]", one.check, escape(one.found) + mend)
    console.print(table)

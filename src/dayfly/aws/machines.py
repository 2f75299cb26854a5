"""The machines that are alive: read from the tags of stacks and instances, and ended on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dayfly.aws.base import find_base
from dayfly.aws.cache import Cache
from dayfly.aws.client import Aws
from dayfly.aws.deadline import disarm_deadline
from dayfly.aws.estimates import estimate, whole_price
from dayfly.aws.extras import Extras, load_extras
from dayfly.aws.names import DEADLINE_TAG, OWNER_TAG, PROJECT_TAG, RUN_TAG, TASK_TAG, machine_stack_name
from dayfly.aws.prices import Price, load_prices, load_spot_prices
from dayfly.aws.stacks import (
    DELETED,
    Stack,
    StackEvent,
    delete_stack,
    last_event_id,
    list_stacks,
    wait_for_stack,
)
from dayfly.errors import RunNotFoundError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

NO_STACK = "NO_STACK"
"""In place of a stack's status: an instance that outlived its stack, or never had one."""
DELETION_WITHIN_S = 900.0
"""How long the deletion of a machine's stack is waited for: an instance takes minutes to shut down."""
_ALIVE = ["pending", "running", "shutting-down", "stopping", "stopped"]
_STACK_NAME_TAG = "aws:cloudformation:stack-name"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A stack with its instance, or either of them alone. Times are UTC; what is not known is empty."""

    machine_id: str
    project: str
    task: str
    owner: str
    stack_name: str
    stack_id: str
    status: str
    """CloudFormation's word for the stack, or NO_STACK."""
    reason: str = ""
    instance_id: str = ""
    instance_state: str = ""
    instance_type: str = ""
    zone: str = ""
    address: str = ""
    spot: bool = False
    disk_gib: int = 0
    since: datetime
    deadline: datetime | None = None
    price: Price | None = None
    """Dollars an hour for all that it is; None where it is not known."""

    @property
    def schedule(self) -> str:
        """The name of the deadline's schedule: the stack's, without the project's."""
        return self.stack_name.removeprefix(machine_stack_name(self.project, ""))

    def cost(self, now: datetime) -> Decimal | None:
        """Dollars since it was made, by its price; None where that is not known."""
        return None if self.price is None else estimate(self.price, now - self.since)

    def overdue(self, now: datetime) -> bool:
        """Whether it should be gone."""
        return self.deadline is not None and self.deadline < now


def list_machines(aws: Aws, project: str | None) -> list[Machine]:
    """Every machine of the project (of all projects in the region for None), newest first, without prices.

    Two listings at once. A stack without an instance is one that begins or ends; an instance without a
    stack is told too, since it costs money.
    """
    wanted = {} if project is None else {PROJECT_TAG: project}
    with ThreadPoolExecutor(2) as pool:
        stacks = pool.submit(list_stacks, aws, tags=wanted)
        instances = pool.submit(_list_instances, aws, wanted)
        found = join_machines(stacks.result(), instances.result())
    return sorted(found, key=lambda machine: machine.since, reverse=True)


def join_machines(stacks: Iterable[Stack], instances: Sequence[InstanceTypeDef]) -> list[Machine]:
    """Machines from stacks and instances, by the instance that a stack puts out, else by its name."""
    left = {one["InstanceId"]: one for one in instances}
    by_stack = {name: one["InstanceId"] for one in instances if (name := _tags(one).get(_STACK_NAME_TAG))}
    found = []
    for stack in stacks:
        if RUN_TAG not in stack.tags or stack.status == "DELETE_COMPLETE":
            continue
        instance = left.pop(stack.outputs.get("InstanceId") or by_stack.get(stack.name, ""), None)
        found.append(_machine(stack, instance))
    return found + [_orphan(one) for one in left.values()]


def _machine(stack: Stack, instance: InstanceTypeDef | None) -> Machine:
    made = Machine(
        **_from_tags(stack.tags),
        stack_name=stack.name,
        stack_id=stack.stack_id,
        status=stack.status,
        reason=stack.reason,
        instance_id=stack.outputs.get("InstanceId", ""),
        instance_type=stack.parameters.get("InstanceType", ""),
        spot=stack.parameters.get("Spot") == "true",
        disk_gib=int(stack.parameters.get("DiskGiB") or 0),
        since=stack.created,
    )
    return made if instance is None else replace(made, **_from_instance(instance))


def _orphan(instance: InstanceTypeDef) -> Machine:
    tags = _tags(instance)
    return Machine(
        **_from_tags(tags),
        **_from_instance(instance),
        stack_name=tags.get(_STACK_NAME_TAG, ""),
        stack_id="",
        status=NO_STACK,
        since=instance["LaunchTime"],
    )


def _from_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    deadline = tags.get(DEADLINE_TAG, "")
    return {
        "machine_id": tags.get(RUN_TAG, ""),
        "project": tags.get(PROJECT_TAG, ""),
        "task": tags.get(TASK_TAG, ""),
        "owner": tags.get(OWNER_TAG, ""),
        "deadline": datetime.fromisoformat(deadline) if deadline else None,
    }


def _from_instance(instance: InstanceTypeDef) -> dict[str, Any]:
    return {
        "instance_id": instance["InstanceId"],
        "instance_state": instance["State"]["Name"],
        "instance_type": str(instance["InstanceType"]),
        "zone": instance.get("Placement", {}).get("AvailabilityZone", ""),
        "address": instance.get("PublicIpAddress", ""),
        "spot": instance.get("InstanceLifecycle") == "spot",
    }


def _tags(instance: InstanceTypeDef) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def _list_instances(aws: Aws, tags: Mapping[str, str]) -> list[InstanceTypeDef]:
    filters = [{"Name": "tag-key", "Values": [RUN_TAG]}, {"Name": "instance-state-name", "Values": _ALIVE}]
    filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    pages = aws.ec2.get_paginator("describe_instances").paginate(Filters=filters)  # type: ignore[arg-type]
    return [one for page in pages for group in page["Reservations"] for one in group["Instances"]]


def find_machine(machines: Sequence[Machine], name: str) -> Machine | None:
    """The machine whose id is `name`, or the only one whose id begins so; the newest of its attempts.

    Raises RunNotFoundError when several begin so.
    """
    found = {one.machine_id: one for one in reversed(machines) if name and one.machine_id.startswith(name)}
    if name in found:
        return found[name]
    if len(found) > 1:
        raise RunNotFoundError(
            f"{len(found)} machines begin with {name!r}.",
            why=f"They are {', '.join(found)}.",
            hint="Give more of the id.",
        )
    return next(iter(found.values()), None)


def with_prices(aws: Aws, cache: Cache, machines: Sequence[Machine]) -> list[Machine]:
    """The same with what they cost an hour, disk and address included, where AWS says it."""
    extras = load_extras(aws, cache) if machines else Extras()

    def price(machine: Machine) -> Price | None:
        name = machine.instance_type
        if not name:
            return None
        if machine.spot:
            instance = load_spot_prices(aws, cache, name).price(name)
        else:
            instance = load_prices(aws, cache, name).get(name)
        return whole_price(instance, extras, disk_gib=machine.disk_gib)

    return [replace(machine, price=price(machine)) for machine in machines]


def end_stack(
    aws: Aws,
    *,
    project: str,
    stack_id: str,
    schedule: str,
    on_event: Callable[[StackEvent], None] | None = None,
) -> None:
    """Delete a machine's stack, wait until it is gone, and remove the schedule of its deadline.

    Raises AwsError when it cannot be deleted; its schedule then goes on trying.
    """
    before = last_event_id(aws, stack_id)
    delete_stack(aws, stack_id)
    wait_for_stack(aws, stack_id, until=DELETED, within_s=DELETION_WITHIN_S, on_event=on_event, after=before)
    base = find_base(aws, project)
    if base is not None:
        disarm_deadline(aws, base, name=schedule)


def end_instance(aws: Aws, instance_id: str) -> None:
    """End an instance that has no stack."""
    aws.ec2.terminate_instances(InstanceIds=[instance_id])

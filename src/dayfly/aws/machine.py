"""One machine: planned as a value, then carried out: its deadline armed first, then its stack created."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.aws.deadline import arm_deadline, disarm_deadline
from dayfly.aws.names import DEADLINE_TAG, RUN_TAG, Task, machine_stack_name, machine_tags, schedule_name
from dayfly.aws.stacks import CREATED, FAILED, StackEvent, create_stack, find_stack, wait_for_stack
from dayfly.aws.template import load_template
from dayfly.aws.translate import is_transient
from dayfly.errors import AwsError, UsageError
from dayfly.runs.machine import MachineRecord

DEFAULT_ROOT_DEVICE = "/dev/xvda"
"""Of Amazon Linux, and of every image made from it."""
CREATION_WITHIN_S = 600.0
"""How long CloudFormation may take for a security group and an instance, and for taking them back."""
NO_CAPACITY = "InsufficientInstanceCapacity"
"""The `code` of the AwsError when no zone has such a machine to spare."""
UNWATCHED = "MachineUnwatched"
"""The `code` of the AwsError when a machine may be on its way, and nobody can see it from here."""
_LACKING = re.compile(
    r"insufficient\s?(?:\w+\s?)?capacity|do not have sufficient (?:\S+ )?capacity|no spot capacity"
    r"|not supported in your requested availability zone|insufficientfreeaddressesinsubnet"
    r"|not enough free addresses in subnet"
)
_QUOTA = re.compile(
    r"vcpulimitexceeded|vcpu limit|instancelimitexceeded|instance limit|addresslimitexceeded"
    r"|max\s?spot\s?instance\s?count\s?exceeded"
)
_NAME_TAKEN = frozenset({"AlreadyExistsException", "TokenAlreadyExistsException"})


@dataclass(frozen=True, kw_only=True)
class MachinePlan:
    """A machine as it would be made. `subnet_ids` are tried in their order; sizes are GiB, times UTC."""

    machine_id: str
    task: Task
    base: BaseStack
    owner: str
    instance_type: str
    ami: str
    root_device: str
    """The name under which the image knows its disk."""
    spot: bool
    disk_gib: int
    access: bool
    subnet_ids: tuple[str, ...]
    boot_budget_s: float
    deadline: datetime
    ssh_cidr: str = ""
    """Who may reach port 22; empty: nobody."""
    work: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the template that say what the machine does."""

    @property
    def prefix(self) -> str:
        """Where in the bucket all of this machine lies."""
        return f"{self.task}s/{self.machine_id}"

    @property
    def tags(self) -> dict[str, str]:
        """The tags of stack, instance and volume."""
        return machine_tags(
            project=self.base.project,
            machine_id=self.machine_id,
            owner=self.owner,
            deadline=self.deadline,
            task=self.task,
        )

    def stack_name(self, attempt: int) -> str:
        """The name of the stack of the `attempt`th zone, from 1."""
        return machine_stack_name(self.base.project, self.machine_id, attempt)

    def parameters(self, attempt: int) -> dict[str, str]:
        """The template's parameters for the `attempt`th zone, from 1."""
        base, deadline = self.base, self.deadline.astimezone(UTC)
        return {
            "MachineId": self.machine_id,
            "Project": base.project,
            "Owner": self.tags["dayfly:owner"],
            "Deadline": self.tags["dayfly:deadline"],
            "DeadlineEpoch": str(int(deadline.timestamp())),
            "BootBudgetSeconds": str(int(self.boot_budget_s)),
            "Task": self.task,
            "Attempt": str(attempt),
            "Bucket": base.bucket,
            "Prefix": self.prefix,
            "InstanceType": self.instance_type,
            "ImageId": self.ami,
            "RootDeviceName": self.root_device,
            "LaunchTemplateId": base.access_launch_template if self.access else base.launch_template,
            "LaunchTemplateVersion": (
                base.access_launch_template_version if self.access else base.launch_template_version
            ),
            "InstanceProfile": self._profile(),
            "VpcId": base.vpc_id,
            "SubnetId": self.subnet_ids[attempt - 1],
            "DiskGiB": str(self.disk_gib),
            "Spot": _word(self.spot),
            "Access": _word(self.access),
            "KeyName": base.key_name if self.ssh_cidr else "",
            "SshCidr": self.ssh_cidr,
            "ElasticIpAllocation": base.elastic_ip_allocation if self.ssh_cidr else "",
            **self.work,
        }

    def _profile(self) -> str:
        if self.task == "build":
            return self.base.build_profile
        if self.access:
            return self.base.access_profile
        return self.base.run_profile if self.task == "run" else self.base.lab_profile


def _word(flag: bool) -> str:  # noqa: FBT001 -- a value, not a switch
    return "true" if flag else "false"


def apply_machine(
    aws: Aws,
    plan: MachinePlan,
    *,
    on_record: Callable[[MachineRecord], None],
    on_event: Callable[[StackEvent], None] = lambda _: None,
    first: int = 1,
) -> MachineRecord:
    """Arm the deadline, create the stack, and wait until the instance is there.

    Where a zone has no capacity the next one is tried, each with a stack and a deadline of its own; `first`
    is the attempt to begin with, for what was cut off. `on_record` hears of each stack as soon as it exists,
    so that nothing is made that nobody knows of. Raises AwsError: what was made is gone by then, or ends at
    its deadline. With the code UNWATCHED there may well be a machine, which does its work.
    """
    if not plan.subnet_ids:
        raise ValueError("a machine needs a subnet")
    check_values(plan)
    last: AwsError | None = None
    for attempt in range(min(first, len(plan.subnet_ids)), len(plan.subnet_ids) + 1):
        record = _create(aws, plan, attempt)
        on_record(record)
        try:
            wait_for_stack(aws, record.stack_id, until=CREATED, within_s=CREATION_WITHIN_S, on_event=on_event)
        except AwsError as error:
            if error.code != FAILED:
                raise _unwatched(plan, record.stack_name, error) from error
            if error.operation == "DELETE_COMPLETE":  # nothing is left that the deadline would end
                with suppress(AwsError):  # and a schedule that finds no stack does no harm
                    disarm_deadline(aws, plan.base, name=record.schedule)
            if not lacks_capacity(error.message):
                raise _in_words(plan, error) from error
            last = error
        else:
            return record
    assert last is not None  # noqa: S101 -- there was an attempt
    raise _in_words(plan, last)


def check_values(plan: MachinePlan) -> None:
    """Raise UsageError for a value that the template does not take, before anything is made."""
    declared = load_template("machine").parameters
    for name, value in plan.parameters(1).items():
        pattern = declared[name].get("AllowedPattern")
        if pattern is not None and re.fullmatch(str(pattern), value) is None:
            what = declared[name].get("Description", "")
            raise UsageError(f"No machine can be made with {name} {value!r}.", why=f"{name}: {what}")
        most = declared[name].get("MaxValue")
        if most is not None and int(value) > int(most):
            raise UsageError(f"No machine can be made with {name} {value}.", why=f"It is {most} at most.")


def lacks_capacity(reason: str) -> bool:
    """Whether AWS has no such machine in this zone now, by the reason that a stack's event gives."""
    return _LACKING.search(reason.lower()) is not None


def _create(aws: Aws, plan: MachinePlan, attempt: int) -> MachineRecord:
    stack_name, schedule = plan.stack_name(attempt), schedule_name(plan.machine_id, attempt)
    arm_deadline(aws, plan.base, name=schedule, stack_name=stack_name, deadline=plan.deadline)
    try:
        stack_id = create_stack(
            aws,
            stack_name,
            body=load_template("machine").text,
            parameters=plan.parameters(attempt),
            tags=plan.tags,
            role_arn=plan.base.cloudformation_role_arn,
            on_failure="DELETE",
            token=schedule,
        )
    except AwsError as error:
        if error.code not in _NAME_TAKEN and not is_transient(error):
            raise
        stack_id = _made_before(aws, plan, attempt, error)
    return _record(plan, attempt, stack_id, aws.now())


def find_made(aws: Aws, plan: MachinePlan, attempt: int = 1) -> MachineRecord | None:
    """The stack of an attempt that AWS knows, though nobody has written it down. Raises AwsError."""
    stack = find_stack(aws, plan.stack_name(attempt))
    if stack is None or stack.tags.get(RUN_TAG) != plan.machine_id:
        return None
    return _record(plan, attempt, stack.stack_id, stack.created)


def _record(plan: MachinePlan, attempt: int, stack_id: str, created: datetime) -> MachineRecord:
    return MachineRecord(
        machine_id=plan.machine_id,
        stack_name=plan.stack_name(attempt),
        stack_id=stack_id,
        schedule=schedule_name(plan.machine_id, attempt),
        attempt=attempt,
        subnet=plan.subnet_ids[attempt - 1],
        created=created,
    )


def _made_before(aws: Aws, plan: MachinePlan, attempt: int, error: AwsError) -> str:
    """The id of the stack that an earlier try of this submission, or a call without an answer, has made."""
    try:
        found = find_made(aws, plan, attempt)
    except AwsError as other:
        raise _unwatched(plan, plan.stack_name(attempt), other) from error
    if found is None:
        raise error
    return found.stack_id


def _unwatched(plan: MachinePlan, stack_name: str, error: AwsError) -> AwsError:
    """What is said of a machine that may be on its way, when AWS cannot be asked about it."""
    return AwsError(
        f"Whether the stack {stack_name} is ready cannot be seen from here. {error.what}",
        why=error.why,
        hint=f"{error.hint}\nIt goes on, and is gone by {plan.tags[DEADLINE_TAG]} at the latest. "
        f"See it with: dayfly machines; end it with: dayfly stop {plan.machine_id}".strip(),
        code=UNWATCHED,
        operation=error.operation,
        message=error.message,
    )


def _in_words(plan: MachinePlan, error: AwsError) -> AwsError:
    """Why there is no machine, and what else could be asked for."""
    if lacks_capacity(error.message):
        count = len(plan.subnet_ids)
        return AwsError(
            f"AWS has no {plan.instance_type} to spare in {'its zone' if count == 1 else f'{count} zones'}.",
            why=error.message,
            hint="Try another type (--instance), or later" + (", or without --spot." if plan.spot else "."),
            code=NO_CAPACITY,
        )
    if _QUOTA.search(error.message.lower()):
        return AwsError(
            f"The account's quota does not allow another {plan.instance_type}.",
            why=error.message,
            hint="See which quota, and where to ask for more, with: dayfly cloud doctor",
            code="VcpuLimitExceeded",
        )
    return error

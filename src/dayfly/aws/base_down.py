"""Taking the base stack down: not under a living machine, and not with what runs have left, unless told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dayfly.aws.base_apply import WITHIN_S
from dayfly.aws.batch_jobs import list_open_jobs
from dayfly.aws.emptying import Kept, Tell, delete_kept, find_kept
from dayfly.aws.machines import Machine, list_machines
from dayfly.aws.names import PROJECT_TAG, base_stack_name
from dayfly.aws.stacks import (
    DELETED,
    Stack,
    StackEvent,
    delete_stack,
    find_stack,
    last_event_id,
    wait_for_stack,
)
from dayfly.errors import AwsError, RunConflictError

if TYPE_CHECKING:
    from dayfly.aws.client import Aws


@dataclass(frozen=True, kw_only=True)
class DownPlan:
    """What would go and what would stay."""

    project: str
    stack: Stack | None
    machines: tuple[Machine, ...]
    kept: Kept
    delete_data: bool

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return self.stack is None and not self.machines and not (self.delete_data and self.kept.words)


def plan_down(aws: Aws, project: str, account: str, *, delete_data: bool, force: bool) -> DownPlan:
    """See what is there. Changes nothing.

    Raises RunConflictError while machines live, unless `force` is to end them.
    """
    stack = find_stack(aws, base_stack_name(project))
    if stack is not None and stack.status != "REVIEW_IN_PROGRESS" and stack.tags.get(PROJECT_TAG) != project:
        raise AwsError(
            f"The stack {stack.name} is not this project's.",
            why=f"It does not bear the tag {PROJECT_TAG}={project}, so dayfly leaves it alone.",
        )
    machines = tuple(list_machines(aws, project))
    if machines and not force:
        raise RunConflictError(
            f"{_count(len(machines))} of {project} still there, and the base stack is needed to end them.",
            why=", ".join(sorted(one.machine_id or one.instance_id for one in machines)) + ".",
            hint="See what they do with: dayfly machines; end them with it: dayfly cloud down --force",
        )
    jobs = list_open_jobs(aws, project)
    if jobs and not force:
        raise RunConflictError(
            f"Batch still works on sweeps of {project}.",
            why=", ".join(sorted(one.name for one in jobs)) + ".",
            hint="End them with: dayfly stop SWEEP; or with the base stack: dayfly cloud down --force",
        )
    kept = find_kept(aws, project, account)
    return DownPlan(project=project, stack=stack, machines=machines, kept=kept, delete_data=delete_data)


def apply_down(aws: Aws, plan: DownPlan, *, tell: Tell, on_event: Callable[[StackEvent], None]) -> None:
    """Carry it out: machines, the stack, and data where asked. Can be cut off anywhere and repeated.

    Raises AwsError with the resource that stands in the way.
    """
    for job in list_open_jobs(aws, plan.project):
        tell(f"ending {job.name}")
        aws.batch.terminate_job(jobId=job.job_id, reason="dayfly: the base stack goes")
    before = {one.stack_id: last_event_id(aws, one.stack_id) for one in plan.machines if one.stack_id}
    for one in plan.machines:
        tell(f"ending machine {one.machine_id or one.instance_id}")
        if one.stack_id:
            delete_stack(aws, one.stack_id)
        else:
            aws.ec2.terminate_instances(InstanceIds=[one.instance_id])
    for stack_id, after in before.items():
        wait_for_stack(aws, stack_id, until=DELETED, within_s=WITHIN_S, on_event=on_event, after=after)
    if plan.stack is not None:
        name = plan.stack.stack_id
        newest = last_event_id(aws, name)
        delete_stack(aws, name)
        wait_for_stack(aws, name, until=DELETED, within_s=WITHIN_S, on_event=on_event, after=newest)
        tell(f"deleted stack {plan.stack.name}")
    if plan.delete_data:
        delete_kept(aws, plan.kept, tell)


def _count(machines: int) -> str:
    return "A machine" if machines == 1 else f"{machines} machines"

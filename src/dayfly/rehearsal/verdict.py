"""What is left when a rehearsed run has ended: each thing looked up, none assumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from dayfly.aws.names import PROJECT_TAG, machine_stack_name
from dayfly.rehearsal.session import Rehearsal
from dayfly.rehearsal.surroundings import LABEL
from dayfly.runs import layout
from dayfly.runs.catalog import state_of
from dayfly.runs.run import Run
from dayfly.runs.state import State

_GONE_WITHIN_S = 60.0
_DELETED_WITHIN_S = 30.0
_LOOK_S = 0.1
_AFTER_S = 700.0
"""Beyond the end of a schedule: it looks every ten minutes."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a rehearsed run ended. Sizes are bytes; `gone_after_s` counts from the run's end."""

    machine_id: str
    """The run's id, or that of a build or lab, which have no cells and no output."""
    state: State | None
    reason: str
    message: str
    cells_done: int
    cells: int
    output_bytes: int
    """Of the executed notebook in the store; 0 when there is none."""
    gone_after_s: float | None
    """None when the machine stands still."""
    machine_ended: str
    by_deadline: bool
    """Whether it needed the schedule to be gone; the clock was moved for it."""
    stack: str
    schedule: str
    left_over: tuple[str, ...]
    lived_s: float
    """How long the machine was there, which is what AWS bills."""
    cost: Decimal | None
    """At the price that the run was planned with."""

    @property
    def clean(self) -> bool:
        """Whether nothing is left that would cost money."""
        return self.gone_after_s is not None and self.stack == "gone" and not self.left_over


def judge(
    rehearsal: Rehearsal, machine_id: str, *, ended_at: float, within_s: float = _GONE_WITHIN_S
) -> Verdict:
    """Wait for the machine's end, let the deadline pass, and look at what there is.

    `ended_at` is when the run's end was seen (`time.monotonic`). The emulated clock moves past the deadline,
    so that the schedule does what it would do then.
    """
    machines = [one for one in list(rehearsal.instances.machines.values()) if one.run_id == machine_id]

    def gone_all() -> bool:
        return all(one.gone is not None for one in machines)

    _wait(gone_all, within_s)
    by_deadline = not gone_all()
    moved_s = _let_schedules_pass(rehearsal, machine_id)
    if by_deadline:
        _wait(gone_all, _DELETED_WITHIN_S)
    standing = [one for one in machines if one.gone is None]
    gone = max((one.gone for one in machines if one.gone is not None), default=ended_at)
    stack = _look_at_stack(rehearsal, machine_id)
    run = _run(rehearsal, machine_id)
    request = run.request if run is not None else None
    schedule = ", ".join(_schedules(rehearsal, machine_id)) or "gone"
    result = run.result if run is not None else None
    lived = max((one.lived_s() for one in machines), default=0.0)
    price = request.machine.price_per_hour if request is not None and request.machine is not None else None
    output = rehearsal.store.get(layout.run_key(machine_id, layout.OUTPUT))
    return Verdict(
        machine_id=machine_id,
        state=None if run is None else _state_at(run, datetime.now(UTC) + moved_s),
        reason=str(result.reason) if result is not None else "",
        message=result.message if result is not None else "",
        cells_done=result.cells.executed if result is not None else 0,
        cells=result.cells.code if result is not None else 0,
        output_bytes=len(output or b""),
        gone_after_s=None if standing else max(gone - ended_at, 0.0),
        machine_ended=", ".join(sorted({one.ended for one in machines if one.ended})) or "never began",
        by_deadline=by_deadline,
        stack=stack,
        schedule=schedule,
        left_over=find_left_over(rehearsal),
        lived_s=lived,
        cost=None if price is None else price * Decimal(str(round(lived, 3))) / 3600,
    )


def _run(rehearsal: Rehearsal, machine_id: str) -> Run | None:
    """The run; None for a build or a lab."""
    there = rehearsal.store.exists(layout.run_key(machine_id, layout.REQUEST))
    return Run(machine_id, rehearsal.store) if there else None


def _state_at(run: Run, moment: datetime) -> State | None:
    """Where the run stands for who looks then: it may take the clock to tell that nothing comes any more."""
    return state_of(replace(run.store, clock=lambda: moment), run.run_id, now=moment)


def find_left_over(rehearsal: Rehearsal) -> tuple[str, ...]:
    """Whatever of the project's machines still exists, in the API and on this computer; empty when clean."""
    aws, project = rehearsal.aws, rehearsal.base.project
    tagged = [{"Name": f"tag:{PROJECT_TAG}", "Values": [project]}]
    left = [f"instance {one['InstanceId']}" for one in rehearsal.around.emulator.instances()]
    volumes = aws.ec2.describe_volumes(Filters=tagged)["Volumes"]  # type: ignore[arg-type]
    left += [f"volume {one['VolumeId']}" for one in volumes]
    groups = aws.ec2.describe_security_groups()["SecurityGroups"]
    prefix = machine_stack_name(project, "")
    left += [f"security group {one['GroupId']}" for one in groups if one["GroupName"].startswith(prefix)]
    stacks = aws.cloudformation.describe_stacks()["Stacks"]
    left += [f"stack {one['StackName']}" for one in stacks if one["StackName"].startswith(prefix)]
    around = rehearsal.around
    listing = ["ps", "--all", "--filter", f"label={LABEL}={around.rehearsal_id}", "--format", "{{.Names}}"]
    left += [f"container {name}" for name in around.docker.run(listing).split() if name != around.container]
    return tuple(left)


def _look_at_stack(rehearsal: Rehearsal, run_id: str) -> str:
    prefix = machine_stack_name(rehearsal.base.project, run_id)
    stacks = rehearsal.aws.cloudformation.describe_stacks()["Stacks"]
    found = [one["StackStatus"] for one in stacks if one["StackName"].startswith(prefix)]
    return ", ".join(found) or "gone"


def _schedules(rehearsal: Rehearsal, machine_id: str) -> list[str]:
    listed = rehearsal.aws.scheduler.list_schedules(GroupName=rehearsal.base.schedule_group)["Schedules"]
    return [one["Name"] for one in listed if one["Name"].startswith(machine_id)]


def _let_schedules_pass(rehearsal: Rehearsal, machine_id: str) -> timedelta:
    """Let the machine's schedules come, insist and go, by moving the clock so far, and then back."""
    group, moved = rehearsal.base.schedule_group, timedelta()
    for name in _schedules(rehearsal, machine_id):
        end = rehearsal.aws.scheduler.get_schedule(Name=name, GroupName=group)["EndDate"]
        left = end - rehearsal.aws.now() - moved + timedelta(seconds=_AFTER_S)
        if left > timedelta():
            rehearsal.around.emulator.let_pass(left.total_seconds())
            moved += left
    rehearsal.around.emulator.ask("POST", "/_dayfly/clock", {"offset_s": 0.0})
    return moved


def _wait(look: Callable[[], bool], within_s: float) -> None:
    give_up = time.monotonic() + within_s
    while not look() and time.monotonic() < give_up:
        time.sleep(_LOOK_S)

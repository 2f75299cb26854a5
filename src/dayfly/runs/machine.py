"""The machine of a run: what was asked for, in `request.json`, and what was made, in `machine.json`."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import AwareDatetime

from dayfly.runs.model import Model


class MachineSource(Model):
    """The machine that a run was planned for. `price_per_hour` is dollars; None where it was unknown."""

    project: str
    region: str
    instance_type: str
    arch: Literal["x86_64", "arm64"]
    ami: str
    spot: bool = False
    disk_gib: int
    access: bool = False
    """Whether the notebook may use the machine's role."""
    mirror: str = ""
    """The CodeCommit repository that the machine takes the commit from; empty: the bundle in the store."""
    boot_budget_s: float
    deadline: AwareDatetime
    """When the stack is deleted, whatever happens."""
    price_per_hour: Decimal | None = None
    price_at: AwareDatetime | None = None
    """When that price was looked up."""
    owner: str = ""


class MachineRecord(Model):
    """The stack and the schedule that were made. `attempt` counts the zones that were tried."""

    version: Literal[1] = 1
    machine_id: str
    stack_name: str
    stack_id: str
    schedule: str
    attempt: int = 1
    subnet: str
    created: AwareDatetime

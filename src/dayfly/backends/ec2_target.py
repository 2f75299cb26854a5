"""Where in AWS a run goes, and on what: found out already, and ready to be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.aws.deadline import deadline_of
from dayfly.aws.hardware import Hardware
from dayfly.aws.machine import DEFAULT_ROOT_DEVICE, MachinePlan
from dayfly.runs.machine import MachineSource
from dayfly.runs.request import Request
from dayfly.runs.store import Store

STOP_MARGIN_S = 30
"""Beyond the grace: how long a runner may take to save after its kernel has ended."""


@dataclass(frozen=True, kw_only=True)
class Ec2Target:
    """Where in AWS a run goes, and on what. Durations are seconds."""

    aws: Aws
    base: BaseStack
    store: Store
    hardware: Hardware
    access: bool
    boot_budget_s: float
    timeout_s: float
    grace_s: float
    hold_s: float
    owner: str
    ssh_cidr: str
    notify: str
    mirror: str
    """The CodeCommit repository when it has the commit; else empty."""
    shortened_from_s: float | None = None
    """The time that was asked for, where --max-cost allows less."""

    def machine(self, now: datetime) -> MachineSource:
        """What the request says of the machine."""
        hardware, price = self.hardware, self.hardware.price
        return MachineSource(
            project=self.base.project,
            region=self.base.region,
            instance_type=hardware.instance_type,
            arch=hardware.arch,
            ami=hardware.ami.id,
            spot=hardware.spot,
            disk_gib=hardware.disk_gib,
            access=self.access,
            mirror=self.mirror,
            boot_budget_s=self.boot_budget_s,
            deadline=deadline_of(
                now, boot_budget_s=self.boot_budget_s, timeout_s=self.timeout_s, grace_s=self.grace_s
            ),
            price_per_hour=price.per_hour if price is not None else None,
            price_at=price.at if price is not None else None,
            owner=self.owner,
        )

    def plan(self, request: Request) -> MachinePlan:
        """The machine of a request, ready to be made."""
        machine = request.machine
        if machine is None:
            raise ValueError("a run on a machine says which")
        return MachinePlan(
            machine_id=request.run_id,
            task="run",
            base=self.base,
            owner=machine.owner,
            instance_type=machine.instance_type,
            ami=machine.ami,
            root_device=self.hardware.ami.root_device or DEFAULT_ROOT_DEVICE,
            spot=machine.spot,
            disk_gib=machine.disk_gib,
            access=machine.access,
            subnet_ids=self.hardware.subnet_ids,
            boot_budget_s=machine.boot_budget_s,
            deadline=machine.deadline,
            ssh_cidr=self.ssh_cidr,
            work=run_parameters(request, hold_s=self.hold_s, notify=bool(self.notify)),
        )


def run_parameters(request: Request, *, hold_s: float, notify: bool) -> dict[str, str]:
    """What a machine must know of its run: the template's parameters that say what it does."""
    image, snapshot, machine = request.image, request.snapshot, request.machine
    if image is None or snapshot is None or machine is None:
        raise ValueError("a run on a machine is of a commit, in an image")
    return {
        "Image": image.id,
        "Commit": snapshot.commit,
        "Mirror": machine.mirror,
        "User": f"{image.user.uid}:{image.user.gid}",
        "Home": image.user.home,
        "UserName": image.user.name,
        "Cpus": "" if request.cpus is None else f"{request.cpus:g}",
        "MemoryBytes": "" if request.memory_bytes is None else str(request.memory_bytes),
        "Gpus": request.gpus or "",
        "StopSeconds": str(int(request.grace_s) + STOP_MARGIN_S),
        "HoldSeconds": str(int(hold_s)),
        "Notify": "true" if notify else "false",
    }

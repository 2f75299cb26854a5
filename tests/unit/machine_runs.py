"""A run on a machine as it stands in a store, written by hand: what client, machine and keeper leave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from dayfly.aws.stacks import StackEvent
from dayfly.runs import layout
from dayfly.runs.chunks import chunk_name
from dayfly.runs.machine import MachineRecord, MachineSource
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store
from tests.unit.support import NOW, RUN_ID, make_request

PROJECT = "analysis"
STACK_NAME = f"dayfly-{PROJECT}--{RUN_ID}"
STACK_ID = f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK_NAME}/0f1e2d3c"
STEPS = (
    ("armed", 34.0),
    ("logged", 35.0),
    ("store", 36.5),
    ("docker", 48.0),
    ("fetched", 49.5),
    ("pulling", 49.6),
    ("pulled", 91.0),
    ("started", 92.5),
)
"""The steps of a machine and the seconds after the request at which each was told."""


def after(seconds: float) -> datetime:
    """So long after the run was asked for."""
    return NOW + timedelta(seconds=seconds)


def step(name: str, seconds: float, **fields: Any) -> dict[str, Any]:
    """A line of a machine's stream."""
    return {"at": after(seconds).isoformat(), "type": "step", "step": name, "took_s": 1.0, **fields}


def event(kind: str, seconds: float, **fields: Any) -> dict[str, Any]:
    """An event of a runner."""
    return {"at": after(seconds).isoformat(), "type": kind, **fields}


def cell(
    number: int, start: float, end: float, source: str = "", state: str = "executed"
) -> list[dict[str, Any]]:
    """The two events of a cell."""
    return [
        event("cell_started", start, cell=number, source=source),
        event("cell_finished", end, cell=number, state=state, duration_s=end - start),
    ]


def stack_event(status: str, seconds: float, *, of: str = "", kind: str = "", reason: str = "") -> StackEvent:
    """An event of the machine's stack; of a resource of it when `of` names one."""
    return StackEvent(
        event_id=f"{status}-{of}-{seconds}",
        at=after(seconds),
        stack_id=STACK_ID,
        logical_id=of or STACK_NAME,
        physical_id="i-0123" if of else STACK_ID,
        type=kind or ("AWS::EC2::Instance" if of else "AWS::CloudFormation::Stack"),
        status=status,
        reason=reason,
    )


def source(**changes: Any) -> MachineSource:
    """The machine that was asked for."""
    fields: dict[str, Any] = {
        "project": PROJECT,
        "region": "eu-central-1",
        "instance_type": "m7i.2xlarge",
        "arch": "x86_64",
        "ami": "ami-0123456789abcdef0",
        "disk_gib": 30,
        "boot_budget_s": 900.0,
        "deadline": after(7200),
        "price_per_hour": Decimal("0.4832"),
        "price_at": NOW - timedelta(hours=3),
        "owner": "ada",
    }
    return MachineSource(**{**fields, **changes})


def record(**changes: Any) -> MachineRecord:
    """The stack that was made."""
    fields: dict[str, Any] = {
        "machine_id": RUN_ID,
        "stack_name": STACK_NAME,
        "stack_id": STACK_ID,
        "schedule": RUN_ID,
        "subnet": "subnet-1",
        "created": after(2),
    }
    return MachineRecord(**{**fields, **changes})


@dataclass(kw_only=True)
class MachineRun:
    """A run whose streams grow as its machine and its runner speak."""

    store: Store
    run_id: str = RUN_ID
    _sizes: dict[str, int] = field(default_factory=dict)

    def create(self, state: State = State.PROVISIONING, **machine: Any) -> MachineRun:
        """What the client puts: the request, and the status object."""
        request = make_request(self.run_id, backend="ec2", machine=source(**machine))
        self.store.put(layout.run_key(self.run_id, layout.REQUEST), request.to_bytes())
        return self.enter(state)

    def enter(self, state: State) -> MachineRun:
        """The run is now in `state`."""
        put_status(self.store, self.run_id, state, NOW)
        return self

    def make(self, **changes: Any) -> MachineRun:
        """The stack is made."""
        made = record(machine_id=self.run_id, **changes)
        self.store.put(layout.run_key(self.run_id, layout.MACHINE_RECORD), made.to_bytes())
        return self

    def boot(self, steps: Sequence[tuple[str, float]] = STEPS) -> MachineRun:
        """The machine tells its steps, each in a chunk of its own."""
        for name, seconds in steps:
            self.tell(step(name, seconds))
        return self

    def tell(self, *lines: dict[str, Any]) -> MachineRun:
        """The machine tells something else."""
        return self._append(layout.MACHINE, lines)

    def run(self, *events: dict[str, Any]) -> MachineRun:
        """The runner tells something."""
        return self._append(layout.EVENTS, events)

    def _append(self, stream: str, lines: Sequence[dict[str, Any]]) -> MachineRun:
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        start = self._sizes.get(stream, 0)
        self.store.put(layout.run_key(self.run_id, f"{stream}/{chunk_name(start, '.jsonl')}"), data)
        self._sizes[stream] = start + len(data)
        return self

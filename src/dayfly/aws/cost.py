"""What runs have cost: the price of their machines times how long these lived.

An estimate: the price is the one that was known when the run was submitted, and what is paid by use (data
transfer, requests to S3, log lines) is not in it. `billed.py` asks AWS what it has charged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from dayfly.aws.estimates import dollars_for, estimate
from dayfly.aws.prices import Price
from dayfly.runs import layout
from dayfly.runs.follow import Event, MachineReader
from dayfly.runs.machine import MachineRecord, MachineSource
from dayfly.runs.model import parse_model
from dayfly.runs.run import Run
from dayfly.runs.state import State

Certainty = Literal["ended", "so far", "at most"]
_KEPT = re.compile(r"kept for (\d+) s")
_NOTHING = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """What one run has cost. `dollars` is None where the price was unknown."""

    run_id: str
    state: State | None
    machine: MachineSource | None
    """None for a run that was on this machine: it cost nothing."""
    begun: datetime | None = None
    """When its stack was created; None when none was."""
    lived: timedelta = timedelta()
    dollars: Decimal | None = _NOTHING
    certainty: Certainty = "ended"
    """`at most`: nothing tells of the machine's end, so it is taken to have lived until its deadline."""


@dataclass(frozen=True, kw_only=True)
class CellCost:
    """One cell's share of what its run cost, by time. `number` counts all cells of the notebook from 1."""

    number: int
    source: str
    took: timedelta
    dollars: Decimal | None


def cost_of_run(run: Run, state: State | None, *, now: datetime) -> RunCost:
    """What a run has cost until now. Reads its request, and three small files more when it had a machine."""
    request = run.request
    if request.machine is None:
        return RunCost(run_id=run.run_id, state=state, machine=None)
    content = run.store.get(layout.run_key(run.run_id, layout.MACHINE_RECORD))
    if content is None:
        return RunCost(run_id=run.run_id, state=state, machine=request.machine)
    record = parse_model(MachineRecord, content, f"{run.run_id}/{layout.MACHINE_RECORD}")
    end, certainty = _end_of(run, state, request.machine.deadline, now)
    lived = max(end - record.created, timedelta())
    return RunCost(
        run_id=run.run_id,
        state=state,
        machine=request.machine,
        begun=record.created,
        lived=lived,
        dollars=_dollars(request.machine, lived),
        certainty=certainty,
    )


def _end_of(run: Run, state: State | None, deadline: datetime, now: datetime) -> tuple[datetime, Certainty]:
    """When the machine ended: it said goodbye, or the run has a result; else only its deadline is known."""
    goodbye = end_of_machine(MachineReader(run.store, run.run_id).read())
    latest = min(now, deadline)
    if goodbye is not None:
        return min(goodbye, latest), "ended" if goodbye <= now else "so far"
    result = run.result
    if result is not None:
        return min(result.ended, latest), "ended"
    over = state is not None and state.ended
    return latest, "at most" if over or deadline <= now else "so far"


def end_of_machine(events: Iterable[Event]) -> datetime | None:
    """When a machine ended by what it told of itself; None when it said no goodbye.

    One that is kept for a look at it lives on after its goodbye, and says for how long.
    """
    goodbye: datetime | None = None
    kept = 0
    for event in events:
        if event.get("step") == "goodbye":
            goodbye = _moment(event.get("at"))
        elif event["type"] == "machine_warning" and (match := _KEPT.search(str(event.get("message", "")))):
            kept = int(match[1])
    return None if goodbye is None else goodbye + timedelta(seconds=kept)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _dollars(machine: MachineSource, lived: timedelta) -> Decimal | None:
    if machine.price_per_hour is None:
        return None
    at = machine.price_at or machine.deadline
    return estimate(Price(per_hour=machine.price_per_hour, at=at), lived)


def cost_of_cells(cost: RunCost, events: Iterable[Event]) -> tuple[CellCost, ...]:
    """What each cell that was finished cost, in the order of their ends."""
    per_hour = cost.machine.price_per_hour if cost.machine is not None else _NOTHING
    sources: dict[int, str] = {}
    cells = []
    for event in events:
        if event["type"] == "cell_started":
            sources[event["cell"]] = event["source"]
        elif event["type"] == "cell_finished":
            took = timedelta(seconds=event["duration_s"])
            cells.append(
                CellCost(
                    number=event["cell"],
                    source=sources.get(event["cell"], ""),
                    took=took,
                    dollars=None if per_hour is None else dollars_for(per_hour, took),
                )
            )
    return tuple(cells)


def rest_of(cost: RunCost, cells: Iterable[CellCost]) -> tuple[timedelta, Decimal | None]:
    """What no cell was: booting, pulling the image, saving, ending."""
    took = max(cost.lived - sum((cell.took for cell in cells), timedelta()), timedelta())
    if cost.dollars is None:
        return took, None
    return took, max(cost.dollars - sum((cell.dollars or _NOTHING for cell in cells), _NOTHING), _NOTHING)


def total_of(costs: Iterable[RunCost]) -> Decimal:
    """The dollars of all whose price is known."""
    return sum((cost.dollars for cost in costs if cost.dollars is not None), _NOTHING)

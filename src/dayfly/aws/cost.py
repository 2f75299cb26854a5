"""What runs have cost: the price of their machines times how long these lived.

An estimate: the price is the one that was known when the run was submitted, and what is paid by use (data
transfer, requests to S3, log lines) is not in it. `billed.py` asks AWS what it has charged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from dayfly.aws.estimates import dollars_for, estimate
from dayfly.aws.prices import Price
from dayfly.aws.tasks import GOODBYE, TaskRequest, find_task
from dayfly.runs import layout
from dayfly.runs.chunks import ChunkReader
from dayfly.runs.follow import Event
from dayfly.runs.ids import started_at
from dayfly.runs.machine import MachineRecord, MachineSource
from dayfly.runs.model import parse_model
from dayfly.runs.run import Run
from dayfly.runs.state import State
from dayfly.runs.store import Store

Certainty = Literal["ended", "so far", "at most"]
_KEPT = re.compile(r"kept for (\d+) s")
_A_YEAR_S = 365 * 86400
_NOTHING = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class BatchShare:
    """What a point of a sweep has of the machines of AWS Batch, and the dearest that an hour of it can be."""

    region: str
    spot: bool
    vcpus: int
    memory_mib: int
    attempts: int
    """How many are in the cost."""
    price_per_hour: Decimal | None


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """What one run, build, lab or sweep has cost. `dollars` is None where the price was unknown."""

    run_id: str
    state: State | None = None
    """Of a run; None for builds and labs, and where it cannot be known."""
    machine: MachineSource | None
    """None for a run that was on this machine, where it cost nothing, and on AWS Batch."""
    share: BatchShare | None = None
    """On AWS Batch: then `lived` is the time of all attempts together."""
    begun: datetime | None = None
    """When its stack was created; None when none was."""
    lived: timedelta = timedelta()
    dollars: Decimal | None = _NOTHING
    certainty: Certainty = "ended"
    """`at most`: nothing tells of the machine's end, so it is taken to have lived until its deadline; or
    its price is a bound, as on AWS Batch."""

    @property
    def paid(self) -> bool:
        """Whether it was in AWS at all."""
        return self.machine is not None or self.share is not None

    @property
    def price_per_hour(self) -> Decimal | None:
        """Dollars for an hour of it; None where that is unknown, or there is none."""
        source = self.machine or self.share
        return source.price_per_hour if source is not None else None


@dataclass(frozen=True, kw_only=True)
class CellCost:
    """One cell's share of what its run cost, by time. `number` counts all cells of the notebook from 1."""

    number: int
    source: str
    took: timedelta
    dollars: Decimal | None


def cost_of_run(run: Run, state: State | None, *, now: datetime) -> RunCost:
    """What a run has cost until now. Reads its request, and three small files more when it had a machine."""
    machine = run.request.machine
    if machine is None:
        return RunCost(run_id=run.run_id, state=state, machine=None)

    def ended() -> datetime | None:
        result = run.result
        return result.ended if result is not None else None

    over = state is not None and state.ended
    prefix = layout.run_prefix(run.run_id)
    cost = _cost_of_machine(run.store, prefix, run.run_id, machine, now, over=over, ended=ended)
    return replace(cost, state=state)


def find_tasks(store: Store, since: datetime) -> list[tuple[str, str]]:
    """The builds and labs that were begun since then, as folder and id: a LIST for each kind."""
    stamp = since.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    found = []
    for folder in (layout.BUILDS, layout.LABS):
        for entry in store.list(folder, after=f"{folder}/{stamp}"):
            task_id, _, name = entry.key.removeprefix(f"{folder}/").partition("/")
            begun = started_at(task_id)
            if name == layout.REQUEST and begun is not None and begun >= since:
                found.append((folder, task_id))
    return found


def cost_of_task(store: Store, folder: str, task_id: str, *, now: datetime) -> RunCost:
    """What a build or a lab has cost until now. Raises UsageError when there is no such one."""
    request, place = find_task(store, folder, task_id, TaskRequest)
    over = store.exists(place.key(layout.RESULT))
    return _cost_of_machine(store, f"{place.prefix}/", task_id, request.machine, now, over=over)


def _cost_of_machine(  # noqa: PLR0913 -- one machine, and what is known of its end
    store: Store,
    prefix: str,
    machine_id: str,
    machine: MachineSource,
    now: datetime,
    *,
    over: bool,
    ended: Callable[[], datetime | None] = lambda: None,
) -> RunCost:
    """`over` is whether its work has ended; `ended`, asked only where the machine is silent, is when."""
    key = f"{prefix}{layout.MACHINE_RECORD}"
    content = store.get(key)
    if content is None:
        return RunCost(run_id=machine_id, machine=machine)
    begun = parse_model(MachineRecord, content, key).created
    latest = min(now, machine.deadline)
    goodbye = end_of_machine(_told(store, prefix))
    end = goodbye or ended()
    certainty: Certainty = "so far"
    if end is not None and end <= now:
        certainty = "ended"
    elif end is None and (over or machine.deadline <= now):
        certainty = "at most"
    lived = max(min(end or latest, latest) - begun, timedelta())
    dollars = _dollars(machine, lived)
    return RunCost(
        run_id=machine_id, machine=machine, begun=begun, lived=lived, dollars=dollars, certainty=certainty
    )


def _told(store: Store, prefix: str) -> Iterator[Event]:
    """What a machine told of itself; a line that is damaged says nothing."""
    for line in ChunkReader(store, f"{prefix}{layout.MACHINE}").read().splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


def end_of_machine(events: Iterable[Event]) -> datetime | None:
    """When a machine ended by what it told of itself; None when it said no goodbye.

    One that is kept for a look at it lives on after its goodbye, and says for how long.
    """
    goodbye: datetime | None = None
    kept = 0
    for event in events:
        if event.get("step") == GOODBYE:
            goodbye = _moment(event.get("at"))
        elif match := _KEPT.search(str(event.get("message", ""))):
            kept = int(match[1])
    return None if goodbye is None else goodbye + timedelta(seconds=min(kept, _A_YEAR_S))


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
    per_hour = cost.price_per_hour if cost.paid else _NOTHING
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

"""Lets a fault happen at its moment, while somebody else submits the run and follows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from dayfly.errors import DayflyError
from dayfly.rehearsal.faults.fault import Fault, Moment, Struck
from dayfly.rehearsal.instances import Machine
from dayfly.rehearsal.session import Rehearsal
from dayfly.runs import layout
from dayfly.runs.run import Run
from dayfly.runs.state import State

_LOOK_S = 0.05
_LOOK_AT_STORE_S = 0.2
_BEFORE_RUNNING = {
    None,
    State.REQUESTED,
    State.PROVISIONING,
    State.BOOTING,
    State.PULLING,
    State.PREPARING,
}


@dataclass(kw_only=True)
class Arranged:
    """A fault that is to happen. Times are of `time.monotonic`; None as long as it has not."""

    fault: Fault
    moment: Moment
    happened: float | None = None
    machine: Machine | None = None
    problem: DayflyError | None = None
    """Why it could not be made."""
    done: threading.Event = field(default_factory=threading.Event)
    """Set when it has happened, or cannot happen any more."""


@contextmanager
def arrange(rehearsal: Rehearsal, fault: Fault, at: Moment | None = None) -> Iterator[Arranged]:
    """Inside of the block, the fault meets the next run; what can be healed is healed after it.

    Raises UsageError where the fault cannot happen then, and what made a fault before submission impossible.
    """
    arranged = Arranged(fault=fault, moment=fault.moment(at))
    over = threading.Event()
    known = set(rehearsal.instances.machines)
    if arranged.moment.when == "submit":
        _happen(rehearsal, arranged, over)
        if arranged.problem is not None:
            raise arranged.problem
        try:
            yield arranged
        finally:
            _heal(rehearsal, arranged)
        return
    thread = threading.Thread(
        target=_watch, args=(rehearsal, arranged, known, over), name="fault", daemon=True
    )
    thread.start()
    try:
        yield arranged
    finally:
        over.set()
        thread.join()
        if arranged.happened is not None:
            _heal(rehearsal, arranged)


def _watch(rehearsal: Rehearsal, arranged: Arranged, known: set[str], over: threading.Event) -> None:
    try:
        arranged.machine = _wait_for_machine(rehearsal, known, over)
        if arranged.machine is None:
            return
        if arranged.fault.prepare is not None:
            arranged.fault.prepare(Struck(rehearsal=rehearsal, machine=arranged.machine))
        if _wait_for_moment(rehearsal, arranged, over):
            _happen(rehearsal, arranged, over)
    except DayflyError as error:
        arranged.problem = error
    finally:
        arranged.done.set()


def _happen(rehearsal: Rehearsal, arranged: Arranged, over: threading.Event) -> None:
    fault = arranged.fault
    struck = Struck(rehearsal=rehearsal, machine=arranged.machine)
    try:
        arranged.happened = time.monotonic()
        fault.inject(struck)
    except DayflyError as error:
        arranged.problem = error
        return
    arranged.done.set()
    if fault.lasts_s is not None and fault.heal is not None:
        over.wait(fault.lasts_s)
        fault.heal(struck)


def _heal(rehearsal: Rehearsal, arranged: Arranged) -> None:
    if arranged.fault.heal is not None:
        with suppress(DayflyError):
            arranged.fault.heal(Struck(rehearsal=rehearsal, machine=arranged.machine))


def _wait_for_machine(rehearsal: Rehearsal, known: set[str], over: threading.Event) -> Machine | None:
    """The next machine that has been switched on; None when the block ends before."""
    while not over.is_set():
        for instance_id, machine in list(rehearsal.instances.machines.items()):
            if instance_id not in known and machine.address:
                return machine
        over.wait(_LOOK_S)
    return None


def _wait_for_moment(rehearsal: Rehearsal, arranged: Arranged, over: threading.Event) -> bool:
    """Whether it came before the run ended."""
    if arranged.moment.when == "boot":
        return True
    if arranged.machine is None:
        return False
    run = Run(arranged.machine.run_id, rehearsal.store)
    while not over.is_set():
        with suppress(DayflyError):
            if _has_come(run, arranged.moment):
                return True
        if arranged.machine.gone is not None:
            return False
        over.wait(_LOOK_AT_STORE_S)
    return False


def _has_come(run: Run, moment: Moment) -> bool:
    if moment.when == "pull":
        return run.state in {State.PULLING, State.RUNNING}
    events = list(run.events())
    begun, ended = ([e for e in events if e["type"] == f"cell_{how}"] for how in ("started", "finished"))
    if moment.when == "cell":
        # Not before its output and its state are told, which come after the events: so each run that meets
        # the fault has lost the same.
        carried = run.store.exists(layout.run_key(run.run_id, layout.OUTPUT))
        return len(begun) >= moment.cell and carried and run.state not in _BEFORE_RUNNING
    planned = [int(event["executions"]) for event in events if event["type"] == "notebook"]
    return [len(ended)] == planned[:1]

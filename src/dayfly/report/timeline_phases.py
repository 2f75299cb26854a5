"""From what a run's store and AWS tell to the phases of its timeline.

A phase lasts until the next thing is known to have happened, so nothing between submission and the end is
left out, and a thing that nobody told of belongs to the phase before it. Times come from up to three clocks
(the client's, AWS's and the machine's), which may differ by some milliseconds: no phase begins before the
one before it has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dayfly.aws.stacks import StackEvent
from dayfly.report.timeline import Part, Phase, Timeline
from dayfly.runs.follow import MACHINE_FAILED, MACHINE_STEP, Event

_INSTANCE = "AWS::EC2::Instance"
_DELETE = "DELETE_"
_DELETING = "DELETE_IN_PROGRESS"
_CREATION = "create the stack"
_UNTIL_ARMED = "submit, create, boot"
"""Where nobody can be asked when the stack was created."""
_GOODBYE = "end the machine"
_DELETION = "delete the stack"


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """A moment at which a phase ended."""

    phase: str
    part: Part
    at: datetime
    detail: str = ""
    failed: bool = False


_BOOT = {
    "armed": "boot",
    "logged": "check the store",
    "store": "check the store",
    "docker": "Docker",
    "fetched": "fetch the run",
    "pulling": "pull the image",
    "pulled": "pull the image",
    "started": "start containers",
}
"""The phase that ends with each step of a machine."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is known of a run: each list is oldest first, and any may be incomplete or empty.

    `machine` is what its machine told (types `machine_…`), `stack` what CloudFormation did. `ended` is
    whether the run has, however it did: one that was lost tells no end.
    """

    run_id: str
    requested: datetime
    events: Sequence[Event] = ()
    machine: Sequence[Event] = ()
    stack: Sequence[StackEvent] = ()
    ended: bool = False

    @property
    def stack_status(self) -> str:
        """Where the stack stands, by what it said last; empty without one."""
        return next((event.status for event in reversed(self.stack) if event.of_stack), "")


def make_timeline(told: Told, now: datetime) -> Timeline:
    """The timeline of a run, as of `now`."""
    before = [*_stack_marks(told), *_boot_marks(told), *_start_marks(told.events)]
    phases = _phases(told.requested, before)
    phases += _cells(told.events)
    phases += _after(told, _end_of(phases, told.requested))
    phases = _with_present(phases, told, now)
    return Timeline(run_id=told.run_id, start=told.requested, phases=tuple(phases), now=now)


def _end_of(phases: Sequence[Phase], requested: datetime) -> datetime:
    return next((phase.end or phase.start for phase in reversed(phases)), requested)


def _phases(start: datetime, marks: Iterable[_Mark]) -> list[Phase]:
    """A phase from each mark to the next; marks of one phase make one."""
    found: list[Phase] = []
    for mark in marks:
        end = max(mark.at, start)
        if found and found[-1].name == mark.phase:
            first = found.pop()
            start = first.start
        phase = Phase(
            name=mark.phase, part=mark.part, start=start, end=end, detail=mark.detail, failed=mark.failed
        )
        found.append(phase)
        start = end
    return found


def _stack_marks(told: Told) -> list[_Mark]:
    """Submission until CloudFormation began; the stack until the instance runs (or its machine speaks)."""
    if not told.stack:
        return []
    marks = [_Mark(phase="submit", part=Part.BEFORE, at=told.stack[0].at)]
    ready = [one.at for one in told.stack if one.type == _INSTANCE and one.status == "CREATE_COMPLETE"]
    spoke = [at for event in told.machine if (at := _at(event)) is not None]
    failed = [one for one in told.stack if one.status == "CREATE_FAILED"]
    until = min([*ready[:1], *spoke[:1]], default=None)
    if until is not None:
        marks.append(_Mark(phase=_CREATION, part=Part.BEFORE, at=until))
    elif failed:
        why = f"{failed[0].logical_id}: {failed[0].reason}"
        marks.append(_Mark(phase=_CREATION, part=Part.BEFORE, at=failed[0].at, detail=why, failed=True))
    return marks


def _boot_marks(told: Told) -> list[_Mark]:
    marks = []
    for event in told.machine:
        at, step = _at(event), str(event.get("step", ""))
        if at is None or step not in _BOOT:
            continue
        name = _BOOT[step] if told.stack or step != "armed" else _UNTIL_ARMED
        failed = event["type"] == MACHINE_FAILED
        if failed or event["type"] == MACHINE_STEP:
            words = (_text(event, "message") or _text(event, "command")) if failed else _text(event, "detail")
            marks.append(_Mark(phase=name, part=Part.BEFORE, at=at, detail=words, failed=failed))
    return marks


def _start_marks(events: Sequence[Event]) -> list[_Mark]:
    """The runner until it has taken up the run, and the kernel until the first cell begins."""
    marks = []
    taken_up = next((at for event in events if (at := _at(event)) is not None), None)
    if taken_up is not None:
        marks.append(_Mark(phase="start the runner", part=Part.BEFORE, at=taken_up))
    first = next((event for event in events if event["type"] == "cell_started"), None)
    at = _at(first) if first is not None else None
    if at is not None:
        marks.append(_Mark(phase="start the kernel", part=Part.BEFORE, at=at))
    return marks


def _cells(events: Sequence[Event]) -> list[Phase]:
    found: list[Phase] = []
    begun: Event | None = None
    for event in events:
        if event["type"] == "cell_started" and _at(event) is not None:
            begun = event
        elif event["type"] == "cell_finished" and begun is not None:
            found.append(_cell(begun, event))
            begun = None
    return [*found, _cell(begun, None)] if begun is not None else found


def _cell(begun: Event, finished: Event | None) -> Phase:
    start = datetime.fromisoformat(begun["at"])
    end = _at(finished) if finished is not None else None
    return Phase(
        name=f"cell {begun['cell']}",
        part=Part.NOTEBOOK,
        start=start,
        end=max(start, end) if end is not None else None,
        detail=_text(begun, "source"),
        failed=finished is not None and finished.get("state") not in {None, "executed"},
    )


def _after(told: Told, start: datetime) -> list[Phase]:
    """From the last cell to the end: of the run, and of its machine."""
    marks = []
    ended = next((event for event in told.events if event["type"] == "ended"), None)
    at = _at(ended) if ended is not None else None
    if at is not None:
        marks.append(_Mark(phase="save", part=Part.AFTER, at=at))
    for event in told.machine:
        at = _at(event)
        if event["type"] == MACHINE_STEP and event.get("step") in {"saved", "goodbye"} and at is not None:
            marks.append(_Mark(phase="last upload", part=Part.AFTER, at=at))
    deletion = [event for event in told.stack if event.of_stack and event.status.startswith(_DELETE)]
    if deletion:
        marks.append(_Mark(phase=_GOODBYE, part=Part.AFTER, at=deletion[0].at))
        if (last := deletion[-1]).status != _DELETING:
            why = last.reason if last.failed else ""
            marks.append(_Mark(phase=_DELETION, part=Part.AFTER, at=last.at, detail=why, failed=last.failed))
    phases = _phases(start, marks)
    return [phase for phase in phases if phase.name != _GOODBYE or phase.start != phase.end]


def _with_present(phases: list[Phase], told: Told, now: datetime) -> list[Phase]:
    """With the phase that goes on now, where one does that has no end yet."""
    if phases and phases[-1].end is None and not told.ended:
        return phases
    # The cell in which a run was lost has an end that nobody told.
    phases = [phase if phase.end else replace(phase, end=phase.start, failed=True) for phase in phases]
    status = told.stack_status
    start = min(_end_of(phases, told.requested), now)
    if told.ended or status.startswith(_DELETE):
        if not status or (status.startswith(_DELETE) and status != _DELETING):
            return phases
        name = _DELETION if status == _DELETING else _GOODBYE
        return [*phases, Phase(name=name, part=Part.AFTER, start=start, end=None)]
    in_notebook = bool(phases) and phases[-1].part is Part.NOTEBOOK
    name, part = ("between cells", Part.NOTEBOOK) if in_notebook else ("waiting", Part.BEFORE)
    return [*phases, Phase(name=name, part=part, start=start, end=None)]


def _at(event: Mapping[str, Any]) -> datetime | None:
    """When it happened; None for an event that does not say."""
    try:
        return datetime.fromisoformat(str(event["at"]))
    except (KeyError, ValueError):
        return None


def _text(event: Mapping[str, Any], name: str) -> str:
    return str(event.get(name) or "")

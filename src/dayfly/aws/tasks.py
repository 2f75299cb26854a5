"""Builds and labs: what a machine that runs no notebook leaves in the bucket, written and followed.

`builds/<id>/` and `labs/<id>/` are laid out as runs are: `request.json` and `machine.json` by whoever asked,
`machine/` and `log/` in chunks by the machine, and `result.json` last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from pydantic import AwareDatetime

from dayfly.aws.client import Aws
from dayfly.aws.machine import UNWATCHED, MachinePlan, apply_machine, check_values
from dayfly.aws.stacks import find_stack
from dayfly.errors import AwsError, UsageError
from dayfly.runs import layout
from dayfly.runs.chunks import ChunkReader
from dayfly.runs.follow import Pace, pace_of
from dayfly.runs.ids import is_run_id
from dayfly.runs.machine import MachineRecord, MachineSource
from dayfly.runs.model import Model, parse_model
from dayfly.runs.store import Store

SUCCEEDED = "succeeded"
GOODBYE = "goodbye"
"""The last step of a machine."""
_PATIENCE = timedelta(minutes=5)
"""How long after its deadline a machine is still waited for."""
_GONE = frozenset({"DELETE_COMPLETE", "DELETE_IN_PROGRESS", "ROLLBACK_COMPLETE", "CREATE_FAILED"})


class TaskResult(Model):
    """How a build or a lab ended: `state` is `succeeded` or in what way it did not."""

    state: str
    message: str = ""
    digest: str = ""
    """Of the image that was built."""


@dataclass(frozen=True, kw_only=True)
class TaskPlace:
    """Where a task lies in the store, and until when its machine lives (UTC)."""

    store: Store
    prefix: str
    deadline: datetime

    def key(self, name: str) -> str:
        """The key of one of its files."""
        return f"{self.prefix}/{name}"

    def result(self) -> TaskResult | None:
        """How it ended; None as long as it has not."""
        data = self.store.get(self.key(layout.RESULT))
        return None if data is None else parse_model(TaskResult, data, self.key(layout.RESULT))

    def machine(self) -> MachineRecord | None:
        """The stack that was made last; None when there was none."""
        data = self.store.get(self.key(layout.MACHINE_RECORD))
        return None if data is None else parse_model(MachineRecord, data, self.key(layout.MACHINE_RECORD))


def start_task(aws: Aws, store: Store, plan: MachinePlan, request: Model) -> TaskPlace:
    """Put the request into the store and make the machine; returns when its instance is there.

    Raises AwsError when there can be no machine; the task's result says why then, unless the
    code is UNWATCHED.
    """
    check_values(plan)
    place = TaskPlace(store=store, prefix=plan.prefix, deadline=plan.deadline)
    store.put(place.key(layout.REQUEST), request.to_bytes())
    try:
        apply_machine(
            aws,
            plan,
            on_record=lambda record: store.put(place.key(layout.MACHINE_RECORD), record.to_bytes()),
        )
    except AwsError as error:
        if error.code == UNWATCHED:  # there may well be one
            raise
        message = "\n".join(part for part in (error.what, error.why) if part)
        store.put(place.key(layout.RESULT), TaskResult(state="never_started", message=message).to_bytes())
        raise
    return place


R = TypeVar("R", bound="TaskRequest")


class TaskRequest(Model):
    """What every request for a machine without a notebook says."""

    version: Literal[1] = 1
    created: AwareDatetime
    machine: MachineSource


def find_task(store: Store, folder: str, task_id: str, kind: type[R]) -> tuple[R, TaskPlace]:
    """A build or lab that somebody has begun: `folder` is `builds` or `labs`. Raises UsageError for none."""
    prefix = f"{folder}/{task_id}"
    data = store.get(f"{prefix}/{layout.REQUEST}") if is_run_id(task_id) else None
    if data is None:
        raise UsageError(
            f"There is no {folder.removesuffix('s')} {task_id!r}.",
            hint="See what is alive with: dayfly machines",
        )
    request = parse_model(kind, data, f"{prefix}/{layout.REQUEST}")
    return request, TaskPlace(store=store, prefix=prefix, deadline=request.machine.deadline)


Told = dict[str, Any]
"""A line of the machine's stream; `{"type": "text", "text": …}` is what its task wrote."""


def follow_task(aws: Aws, place: TaskPlace, *, pace: Pace | None = None) -> Iterator[Told]:
    """Yield what the machine tells until it says goodbye, or its task has a result.

    A request a second at most, but when it is silent. Raises AwsError when the machine is gone and has left
    no result, or does not end at its deadline.
    """
    pace = pace or pace_of(place.store)
    streams = _Streams(place)
    pause_s, silent_s = pace.shortest_s, 0.0
    while True:
        spent = streams.requests
        told = list(streams.read())
        yield from told
        if any(one.get("step") == GOODBYE for one in told):
            return
        if silent_s >= pace.ask_after_s:
            silent_s = 0.0
            if place.result() is not None:
                yield from streams.read()
                return
            check_machine(aws, place)
        requests = streams.requests - spent
        pause_s = pace.first_wait(requests) if told else pace.next_wait(pause_s, requests)
        aws.sleep(pause_s)
        silent_s = 0.0 if told else silent_s + pause_s


def check_machine(aws: Aws, place: TaskPlace) -> None:
    """Raise AwsError when a task without a result has no machine any more, or its deadline has passed."""
    record = place.machine()
    stack = find_stack(aws, record.stack_id) if record is not None else None
    if stack is None or stack.status in _GONE:
        if place.result() is not None:  # it has just ended
            return
        raise AwsError(
            f"The machine of {place.prefix} is gone, and has left no result.",
            why=f"Its stack is {stack.status}. {stack.reason}".strip() if stack is not None else "",
            hint="Begin it again; a machine that is lost early has often run out of memory or disk: "
            "--instance, --disk.",
            code="MachineGone",
        )
    if aws.now() > place.deadline + _PATIENCE:
        raise AwsError(
            f"The machine of {place.prefix} has passed its deadline, and its stack is {stack.status}.",
            hint="End it with: dayfly cloud reap",
            code="MachineOverdue",
        )


class _Streams:
    """The machine's stream and the text of its task, each byte once."""

    def __init__(self, place: TaskPlace) -> None:
        self._machine = ChunkReader(place.store, place.key(layout.MACHINE))
        self._log = ChunkReader(place.store, place.key(layout.LOG))
        self._rest = b""
        self._cut = b""

    @property
    def requests(self) -> int:
        """How many requests reading has taken so far."""
        return self._machine.requests + self._log.requests

    def read(self) -> Iterator[Told]:
        """What is new: first the text, which comes before the step that it belongs to is done.

        The machine saves the text before the step, so it is read after it: none is missed.
        """
        lines = (self._rest + self._machine.read()).split(b"\n")
        self._rest = lines.pop()
        text, whole, self._cut = (self._cut + self._log.read()).rpartition(b"\n")
        if whole:
            yield {"type": "text", "text": text.decode("utf-8", "replace")}
        for line in lines:
            try:
                told = json.loads(line)
            except ValueError:  # cut off by a machine that lost its power
                continue
            if isinstance(told, dict) and "type" in told:
                yield told

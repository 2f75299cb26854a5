"""The keeper's work on one run, from its first event to its last save."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from dayfly.errors import StoreError
from dayfly.keeper.carry import Carrier
from dayfly.runs import layout
from dayfly.runs.compat import UTC
from dayfly.runs.lock import lock_holder, runner_alive
from dayfly.runs.model import parse_model
from dayfly.runs.outputs import tidy_outputs
from dayfly.runs.request import Request
from dayfly.runs.result import CellCounts, Reason, Result
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import Store

SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
NEAR_PAUSE_S = 0.05
"""Between two looks at a run directory that lies in the store: looking costs microseconds there."""
BEAT_S = 30.0
TAKE_UP_WITHIN_S = 60.0
LAST_SAVE_WITHIN_S = 900.0


def keep_run(
    run_dir: Path,
    store: Store,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Carry the run in `run_dir` to `store` until it has ended; True when all of it is there.

    A store that fails is tried again, at the end for as long as LAST_SAVE_WITHIN_S.
    """
    in_store = lies_in(run_dir, store)
    carrier = Carrier(run_dir, store)
    begun, beaten, pause = clock(), float("-inf"), SHORTEST_PAUSE_S
    said: State | None = None
    while not (run_dir / layout.RESULT).exists():
        with suppress(StoreError):  # the next round carries it; the last save has its own patience
            if not in_store:
                carrier.carry()
        # One file that the store refuses must not make the run look dead.
        with suppress(StoreError):
            if not in_store:
                _fetch_stop(run_dir, store)
            state = last_state(run_dir)
            if state is not said or clock() - beaten >= BEAT_S:
                put_status(store, run_dir.name, state, datetime.now(UTC))
                said, beaten = state, clock()
        if _runner_gone(run_dir, waited_s=clock() - begun):
            write_lost_result(run_dir)
            break
        sleep(NEAR_PAUSE_S if in_store else pause)
        pause = min(pause * 1.1, LONGEST_PAUSE_S)
    if in_store:
        _wait_for_runner(run_dir, clock() + LAST_SAVE_WITHIN_S, clock, sleep)
        put_status(store, run_dir.name, _state_of_result(run_dir), datetime.now(UTC))
        return True
    return _save_last(run_dir, store, carrier, clock, sleep)


def lies_in(run_dir: Path, store: Store) -> bool:
    """Whether the run directory is the store's own, so that nothing has to be carried."""
    own = store.path(layout.run_key(run_dir.name, ""))
    return own is not None and own.resolve() == run_dir.resolve()


def _state_of_result(run_dir: Path) -> State:
    return State(json.loads((run_dir / layout.RESULT).read_bytes())["state"])


def _runner_gone(run_dir: Path, *, waited_s: float) -> bool:
    if lock_holder(run_dir) is None:
        return waited_s > TAKE_UP_WITHIN_S
    if runner_alive(run_dir):
        return False
    return not (run_dir / layout.RESULT).exists()


def _fetch_stop(run_dir: Path, store: Store) -> None:
    """Bring a stop that somebody asked for in the store to the runner."""
    local = run_dir / layout.STOP
    if local.exists():
        return
    asked = store.get(layout.run_key(run_dir.name, layout.STOP))
    if asked is not None:
        local.write_bytes(asked)


def last_state(run_dir: Path) -> State:
    """The state in the newest state event; REQUESTED before the first."""
    for chunk in sorted((run_dir / layout.EVENTS).glob("*.jsonl"), reverse=True):
        for line in reversed(chunk.read_bytes().splitlines()):
            try:
                event = json.loads(line)
                if event["type"] == "state":
                    return State(event["state"])
            except (ValueError, KeyError, TypeError):
                continue  # the line that is just being written
    return State.REQUESTED


def count_cells(run_dir: Path) -> CellCounts:
    """How far a run came, by its events."""
    ended = dict.fromkeys(("executed", "failed", "interrupted"), 0)
    total = 0
    for chunk in sorted((run_dir / layout.EVENTS).glob("*.jsonl")):
        for line in chunk.read_bytes().splitlines():
            with suppress(ValueError, KeyError, TypeError):  # the line that was just being written
                event = json.loads(line)
                if event["type"] == "notebook":
                    total = int(event["executions"])
                elif event["type"] == "cell_finished" and event["state"] in ended:
                    ended[event["state"]] += 1
    return CellCounts(code=total, not_run=max(total - sum(ended.values()), 0), **ended)


def _last_message(counts: CellCounts) -> str:
    cells = "cell" if counts.executed == 1 else "cells"
    return f"The runner is gone and left no result; {counts.executed} {cells} had been executed."


def write_lost_result(run_dir: Path) -> None:
    """Say in the run directory that its runner died without a word, or never came."""
    request = parse_model(Request, (run_dir / layout.REQUEST).read_bytes(), layout.REQUEST)
    now = datetime.now(UTC)
    started = lock_holder(run_dir) is not None
    counts = count_cells(run_dir)
    result = Result(
        run_id=request.run_id,
        state=State.LOST if started else State.NEVER_STARTED,
        reason=Reason.RUNNER_GONE if started else Reason.NOT_TAKEN_UP,
        message=_last_message(counts) if started else "No runner took up the run.",
        started=request.created,
        ended=now,
        duration_s=round((now - request.created).total_seconds(), 3),
        cells=counts,
    )
    (run_dir / layout.RESULT).write_bytes(result.to_bytes())


def _save_last(
    run_dir: Path,
    store: Store,
    carrier: Carrier,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> bool:
    state = _state_of_result(run_dir)
    deadline, pause = clock() + LAST_SAVE_WITHIN_S, SHORTEST_PAUSE_S
    _wait_for_runner(run_dir, deadline, clock, sleep)
    for _ in tidy_outputs(run_dir / layout.OUTPUTS):
        pass  # the runner has done it, and told, unless it was killed
    while True:
        try:
            carrier.carry(everything=True)
            carrier.carry_result()
            put_status(store, run_dir.name, state, datetime.now(UTC))
        except StoreError:
            if clock() >= deadline:
                return False
            sleep(pause)
            pause = min(pause * 2, 30.0)
        else:
            return True


def _wait_for_runner(
    run_dir: Path, deadline: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """The runner's last event follows its result: wait until it has let go of the directory."""
    while runner_alive(run_dir) and clock() < deadline:
        sleep(0.02)

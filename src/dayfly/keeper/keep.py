"""The keeper's work on one run, from its first event to its last save."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path

from dayfly.errors import StoreError
from dayfly.keeper.beats import Pulse, beating
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
TAKE_UP_WITHIN_S = 60.0
LAST_SAVE_WITHIN_S = 900.0


def keep_run(  # noqa: PLR0913 -- its clock and its threads are passed in
    run_dir: Path,
    store: Store,
    *,
    deadline: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    beside: Callable[[Pulse], AbstractContextManager[object]] = beating,
) -> bool:
    """Carry the run in `run_dir` to `store` until it has ended; True when all of it is there.

    A store that fails is tried again, at the end until `deadline` (of `clock`) where there is one, else for
    LAST_SAVE_WITHIN_S. Meanwhile the heart beats, whatever the carrying takes.
    """
    carrier = None if lies_in(run_dir, store) else Carrier(run_dir, store)
    with beside(Pulse(store, run_dir.name, lambda: last_state(run_dir), clock)):
        lost = _carry_until_result(run_dir, store, carrier, clock, sleep)
        until = deadline if deadline is not None else clock() + LAST_SAVE_WITHIN_S
        _wait_for_runner(run_dir, until, clock, sleep)
        saved = carrier is None or _save_last(run_dir, carrier, until, clock, sleep)
        if lost is not None:  # the disk had no room for it
            key = layout.run_key(run_dir.name, layout.RESULT)
            saved = saved and _try_until(lambda: store.put(key, lost.to_bytes()), until, clock, sleep)
    state = lost.state if lost is not None else _state_of_result(run_dir)
    return saved and _tell_end(run_dir, store, state, until, clock, sleep)


def _carry_until_result(
    run_dir: Path,
    store: Store,
    carrier: Carrier | None,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Result | None:
    """Until there is a result: the runner's, or ours when the runner is gone.

    Ours is returned where it cannot be written: a full disk may be what has killed the runner.
    """
    begun, pause = clock(), SHORTEST_PAUSE_S
    while not (run_dir / layout.RESULT).exists():
        if carrier is not None:
            with suppress(StoreError):  # the next round carries it; the last save has its own patience
                carrier.carry()
            with suppress(StoreError, OSError):  # nor does a full disk keep the rest from being carried
                _fetch_stop(run_dir, store)
        if _runner_gone(run_dir, waited_s=clock() - begun):
            return write_lost_result(run_dir)
        sleep(NEAR_PAUSE_S if carrier is None else pause)
        pause = min(pause * 1.1, LONGEST_PAUSE_S)
    return None


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
        _write_whole(local, asked)


def _write_whole(path: Path, content: bytes) -> None:
    """A reader sees all of it or nothing. Raises OSError."""
    new = path.with_name(f".{path.name}")
    try:
        new.write_bytes(content)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise


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


def write_lost_result(run_dir: Path) -> Result | None:
    """Say in the run directory that its runner died without a word, or never came.

    Returns what is to be said, when the disk has no room for it.
    """
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
    try:
        _write_whole(run_dir / layout.RESULT, result.to_bytes())
    except OSError:
        return result
    return None


def _save_last(
    run_dir: Path,
    carrier: Carrier,
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> bool:
    for _ in tidy_outputs(run_dir / layout.OUTPUTS):
        pass  # the runner has done it, and told, unless it was killed

    def save() -> None:
        carrier.carry(everything=True)
        carrier.carry_result()

    return _try_until(save, until, clock, sleep)


def _tell_end(  # noqa: PLR0913, PLR0917 -- its clock is passed in
    run_dir: Path,
    store: Store,
    state: State,
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> bool:
    return _try_until(lambda: put_status(store, run_dir.name, state, datetime.now(UTC)), until, clock, sleep)


def _try_until(
    do: Callable[[], None], until: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> bool:
    """Try until the store takes it; False when it has not until then."""
    pause = SHORTEST_PAUSE_S
    while True:
        try:
            do()
        except StoreError:
            if clock() >= until:
                return False
            sleep(min(pause, max(until - clock(), 0.0)))
            pause = min(pause * 2, 30.0)
        else:
            return True


def _wait_for_runner(
    run_dir: Path, deadline: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    """The runner's last event follows its result: wait until it has let go of the directory."""
    while runner_alive(run_dir) and clock() < deadline:
        sleep(0.02)

"""Which runs there are and where each stands, read from the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from dayfly.errors import RunNotFoundError
from dayfly.runs import ids, layout
from dayfly.runs.compat import UTC
from dayfly.runs.lock import lock_holder, runner_alive
from dayfly.runs.state import State
from dayfly.runs.status import state_of_size
from dayfly.runs.store import Entry, Store

_SHOWN = 5
STALE_AFTER = timedelta(seconds=90)
"""Without a heartbeat for so long, a runner that cannot be asked is taken for dead: three beats
of the keeper and an upload that is slow."""
TAKE_UP_WITHIN = timedelta(seconds=30)
"""A local run that no runner has taken up after so long never will be."""
PROVISION_WITHIN = timedelta(minutes=15)
"""So long a machine may take until it first tells of itself; nobody beats before. The usual boot budget."""
_BEFORE_RUNNER = {State.REQUESTED, State.PROVISIONING, State.BOOTING, State.PULLING}
"""A run that is heard of no more in one of these has never had a runner."""


@dataclass(frozen=True, kw_only=True)
class SweepCounts:
    """How many points a sweep has, how many of them are settled, and how many of these failed."""

    points: int
    done: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run as a listing knows it. `state` is None when it cannot be known. Times are UTC."""

    run_id: str
    state: State | None
    requested: datetime
    updated: datetime
    counts: SweepCounts | None = None
    """Of a sweep that is listed in place of its runs."""

    @property
    def notebook(self) -> str:
        """The notebook's name as the run id has it."""
        return ids.notebook_slug(self.run_id)

    @property
    def duration(self) -> timedelta:
        """From the request to the end, or to the last heartbeat."""
        return max(self.updated - self.requested, timedelta())


def list_runs(
    store: Store, *, newest: int | None = None, now: datetime | None = None, of_sweeps: bool = True
) -> list[RunSummary]:
    """The runs of a store, newest first; only the `newest` so many when given.

    Without `of_sweeps`, those of sweeps are left out, and nobody asks where they stand.
    One LIST for a thousand runs, no GET for a run that has ended. With `newest`, the listing
    begins near the end where run ids make that possible, so its cost does not grow with the store.
    """
    moment = now or datetime.now(UTC)
    entries = [
        (run_id, entry)
        for run_id, entry in list_entries(store, newest=newest, now=moment)
        if of_sweeps or ids.sweep_of(run_id) is None
    ]
    entries.sort(key=lambda each: ids.age(each[0]), reverse=True)
    summaries = (summarize_run(store, entry, moment) for _, entry in entries)
    return list(islice((summary for summary in summaries if summary is not None), newest))


def list_entries(store: Store, *, newest: int | None, now: datetime) -> Iterator[tuple[str, Entry]]:
    """The id and status object of each run, those of sweeps among them, in no order.

    With `newest`, at least those of so many runs and sweeps, the newest ones; of a sweep all or none.
    """
    for entry in _newest_entries(store, newest, now) if newest else store.list(layout.STATUS):
        run_id = _id_of(entry)
        if ids.is_run_id(run_id):
            yield run_id, entry


def _newest_entries(store: Store, newest: int, now: datetime) -> list[Entry]:
    """At least the `newest` entries, from a window that widens until it holds enough."""
    for days in (1, 8, 64, 512):
        since = (now - timedelta(days=days)).strftime("%Y%m%d-%H%M%S")
        entries = list(store.list(layout.STATUS, after=layout.status_key(since)))
        found = (_id_of(entry) for entry in entries)
        # A sweep counts once, however many runs it has: they may be left out.
        if len({run_id.partition(".")[0] for run_id in found if ids.is_run_id(run_id)}) >= newest:
            return entries
    return list(store.list(layout.STATUS))


def _id_of(entry: Entry) -> str:
    return entry.key.removeprefix(f"{layout.STATUS}/")


def summarize_run(store: Store, entry: Entry, now: datetime) -> RunSummary | None:
    """The run of a status object as a listing shows it; None for what is no run's."""
    run_id = _id_of(entry)
    requested = ids.started_at(run_id)
    if requested is None:
        return None
    state = state_of_entry(store, entry, now)
    return RunSummary(run_id=run_id, state=state, requested=requested, updated=entry.modified)


def state_of_entry(store: Store, entry: Entry, now: datetime) -> State | None:
    """Where a run stands whose status object was listed: asks further only for one that says it goes on."""
    state = state_of_size(entry.size)
    if state is None or state.ended:
        return state
    return _true_state(store, _id_of(entry), state, entry.modified, now)


def _true_state(store: Store, run_id: str, said: State, beat: datetime, now: datetime) -> State | None:
    """The state of a run whose status object says that it goes on."""
    directory = store.path(layout.run_key(run_id, ""))
    # Before asking whether it lives: one that comes in between is alive, not dead.
    taken_up = directory is not None and lock_holder(directory) is not None
    alive = runner_alive(directory) if directory is not None else None
    patience = _patience(said, asked=alive is not None)
    waiting = said in _BEFORE_RUNNER and not taken_up
    if alive or (alive is None and now - beat < patience):
        return said
    if alive is None and store.clock is not None:
        now = store.clock()  # a beat is late by the clock that it is told of, not by a laptop's that is fast
        if now - beat < patience:
            return said
    # The runner is gone: it may have ended just now, never have come, or have died.
    ended = _state_in_result(store, run_id)
    if ended is not None:
        return ended
    if waiting:
        if now - beat < patience:
            return said
        # A machine may die between a runner's first words and the beat that tells of it.
        begun = any(store.list(layout.run_key(run_id, layout.EVENTS)))
        return State.LOST if begun else State.NEVER_STARTED
    return State.LOST


def _patience(said: State, *, asked: bool) -> timedelta:
    """How old a heartbeat may be; `asked` when there is a lock to ask, so that only a start is waited for."""
    if said is State.PROVISIONING:
        return PROVISION_WITHIN
    return TAKE_UP_WITHIN if asked and said is State.REQUESTED else STALE_AFTER


def _state_in_result(store: Store, run_id: str) -> State | None:
    content = store.get(layout.run_key(run_id, layout.RESULT))
    if content is None:
        return None
    try:
        return State(json.loads(content)["state"])
    except (ValueError, KeyError, TypeError):
        return None


def state_of(store: Store, run_id: str, *, now: datetime | None = None) -> State | None:
    """Where one run stands; None when it cannot be known. Raises RunNotFoundError."""
    return find_summary(store, run_id, now=now).state


def find_summary(store: Store, run_id: str, *, now: datetime | None = None) -> RunSummary:
    """The summary of the run with exactly this id. Raises RunNotFoundError."""
    for summary in _starting_with(store, run_id, now or datetime.now(UTC)):
        if summary.run_id == run_id:
            return summary
    raise _not_found(store.url, run_id)


def find_run_id(store: Store, name: str) -> str:
    """The id that `name` means: a full id, a prefix that only one run has, or `last`.

    Raises RunNotFoundError, with the candidates when there are several.
    """
    if name == "last":
        newest = newest_id(store)
        if newest is None:
            raise no_runs(store.url)
        return newest
    return choose_id(name, ids_starting_with(store, name), store.url)


def is_sweep(store: Store, run_id: str) -> bool:
    """Whether the id is that of a sweep."""
    return store.exists(layout.sweep_key(run_id, layout.SWEEP))


def newest_id(store: Store) -> str | None:
    """The id of the newest run or sweep; None where there is none."""
    found = [run.run_id for run in list_runs(store, newest=1, of_sweeps=False)] + find_sweep_ids(store)[-1:]
    return max(found, key=ids.age, default=None)


def newest_sweep_id(store: Store) -> str | None:
    """The id of the newest sweep, whatever came after it; None where there is none."""
    return next(iter(find_sweep_ids(store)[-1:]), None)


def choose_id(name: str, candidates: Iterable[str], where: str) -> str:
    """The one of `candidates`, which all begin with `name`, that is meant; `where` is for messages.

    Raises RunNotFoundError when there is none, or several of which none is `name` itself.
    """
    found = sorted(set(candidates), key=ids.age)
    if name in found:
        return name
    if not found:
        raise _not_found(where, name)
    if len(found) > 1:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise RunNotFoundError(
            f"{len(found)} runs begin with {name!r}.",
            why="They are " + ", ".join(found[-_SHOWN:]) + more + ".",
            hint="Give more of the id.",
        )
    return found[0]


def _entries_starting_with(store: Store, prefix: str) -> Iterator[Entry]:
    """The status entries whose run id begins with `prefix`, without listing those before it."""
    if not prefix or not prefix.isprintable() or "/" in prefix or prefix.startswith("."):
        return
    start = layout.status_key(prefix)
    # `after` is exclusive, and a key equal to the prefix must be seen: begin one character before.
    for entry in store.list(layout.STATUS, after=start[:-1]):
        if entry.key.startswith(start):
            yield entry
        elif entry.key > start and store.root is None:
            return  # S3 and memory list in order; a directory does not


def ids_starting_with(store: Store, prefix: str) -> Iterator[str]:
    """The ids of the runs and sweeps that begin with `prefix`; none for an empty one.

    A run of a sweep is named only by what names its point, as `<sweep>.7`: before that, it is the sweep.
    """
    whole = "." in prefix
    sweeps: set[str] = set()
    for entry in _entries_starting_with(store, prefix):
        run_id = _id_of(entry)
        sweep_id, point, _ = run_id.partition(".")
        if whole or not point:
            yield run_id
        elif sweep_id not in sweeps:
            sweeps.add(sweep_id)
            yield sweep_id
    if not whole:
        yield from (sweep_id for sweep_id in find_sweep_ids(store, prefix) if sweep_id not in sweeps)


def find_sweep_ids(store: Store, prefix: str = "") -> list[str]:
    """The ids of the sweeps that begin with `prefix`, oldest first."""
    suffix = f"/{layout.SWEEP}"
    found = (
        entry.key.removeprefix(f"{layout.SWEEPS}/").removesuffix(suffix)
        for entry in store.list(layout.SWEEPS)
        if entry.key.endswith(suffix)
    )
    return sorted((each for each in found if each.startswith(prefix) and "/" not in each), key=ids.age)


def _starting_with(store: Store, prefix: str, now: datetime) -> Iterator[RunSummary]:
    for entry in _entries_starting_with(store, prefix):
        summary = summarize_run(store, entry, now)
        if summary is not None:
            yield summary


def _not_found(where: str, name: str) -> RunNotFoundError:
    return RunNotFoundError(
        f"There is no run {name!r}.",
        why=f"No id in the store {where} begins like that.",
        hint="See what there is with: dayfly ps --all",
    )


def no_sweeps(where: str) -> RunNotFoundError:
    """The error of whoever looks for the last sweep where there is none."""
    return RunNotFoundError(
        "There are no sweeps yet.",
        why=f"The store {where} has none.",
        hint="Start one with: dayfly sweep NOTEBOOK -p NAME=1,2,3",
    )


def no_runs(where: str) -> RunNotFoundError:
    """The error of whoever looks for the last run where there is none."""
    return RunNotFoundError(
        "There are no runs yet.",
        why=f"The store {where} is empty.",
        hint="Start one with: dayfly run NOTEBOOK",
    )

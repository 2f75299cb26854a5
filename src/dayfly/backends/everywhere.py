"""Runs wherever they are: two stores listed as one, and a run found in whichever has it.

What is on this machine is always told; a store elsewhere has so long to answer, and is missed aloud.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, TypeVar

from dayfly.backends.stores import Stores
from dayfly.backends.sweep_listing import list_with_sweeps
from dayfly.errors import DayflyError, RunNotFoundError, StoreError
from dayfly.runs import ids
from dayfly.runs.catalog import (
    RunSummary,
    choose_id,
    find_run_id,
    ids_starting_with,
    list_runs,
    newest_id,
    newest_sweep_id,
    no_runs,
    no_sweeps,
)
from dayfly.runs.store import Store

ANSWERS_WITHIN_S = 10.0
"""How long a store elsewhere is waited for: a first request after finding credentials takes two."""

T = TypeVar("T")
Where = Literal["local", "ec2"]


@dataclass(frozen=True, kw_only=True)
class PlacedRun:
    """A run of a listing, and where it is: in the store here, or in the bucket, which is EC2's."""

    summary: RunSummary
    where: Where


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The runs of all stores, newest first. `unheard` says why one of them is missing."""

    runs: tuple[PlacedRun, ...]
    unheard: DayflyError | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """A run's id and its store. `unheard` says why only one store was looked at."""

    run_id: str
    store: Store
    unheard: DayflyError | None = None


class Question(Generic[T]):
    """A call that is made in the background, and whose answer is waited for so long and no longer."""

    def __init__(self, call: Callable[[], T], what: str) -> None:
        """Begin it. `what` is its subject in messages."""
        self._what = what
        self._answer: list[T] = []
        self._error: BaseException | None = None
        # A daemon: what does not answer must not keep the command from ending.
        self._thread = threading.Thread(target=self._ask, args=(call,), name="elsewhere", daemon=True)
        self._thread.start()

    def _ask(self, call: Callable[[], T]) -> None:
        try:
            self._answer.append(call())
        except BaseException as error:  # noqa: BLE001 -- raised again where the answer is wanted
            self._error = error

    def answer(self, within_s: float) -> T:
        """The answer; raises what the call raised, and StoreError when it takes longer."""
        self._thread.join(within_s)
        if self._error is not None:
            raise self._error
        if not self._answer:
            raise StoreError(
                f"{self._what} has not answered within {within_s:g} s.",
                hint="Look only at what is here with: --local",
            )
        return self._answer[0]


def list_everywhere(
    stores: Stores,
    *,
    newest: int | None = None,
    now: datetime | None = None,
    within_s: float = ANSWERS_WITHIN_S,
    as_sweeps: bool = False,
) -> Listing:
    """The runs of both stores as one list, newest first; only the `newest` so many when given.

    With `as_sweeps`, a sweep is listed in place of its runs. Raises StoreError when the local store cannot
    be read. The other one is listed meanwhile.
    """
    listed = list_with_sweeps if as_sweeps else list_runs
    question = _ask_cloud(stores, lambda cloud: listed(cloud, newest=newest, now=now))
    found = _placed(listed(stores.local, newest=newest, now=now), "local")
    unheard: DayflyError | None = None
    if question is not None:
        try:
            found += _placed(question.answer(within_s), "ec2")
        except DayflyError as error:
            unheard = error
    found.sort(key=lambda run: ids.age(run.summary.run_id), reverse=True)
    return Listing(runs=tuple(found[:newest]), unheard=unheard)


def _placed(runs: list[RunSummary], where: Where) -> list[PlacedRun]:
    return [PlacedRun(summary=run, where=where) for run in runs]


def find_everywhere(
    stores: Stores, name: str, *, within_s: float = ANSWERS_WITHIN_S, of_sweeps: bool = False
) -> Found:
    """The run that `name` means in either store: a full id, a prefix that only one run has, or `last`.

    With `of_sweeps`, `last` is the last sweep, whatever runs came after it.
    A full id that is here asks nobody else. Raises RunNotFoundError; and what kept the other store from
    answering, when the local one has no such run.
    """
    if name == "last":
        return _find_last(stores, within_s, of_sweeps=of_sweeps)
    if stores.open_cloud is None:
        return Found(run_id=find_run_id(stores.local, name), store=stores.local)
    if ids.is_run_id(name):
        with suppress(RunNotFoundError):
            return Found(run_id=find_run_id(stores.local, name), store=stores.local)
    question = _ask_cloud(stores, lambda cloud: list(ids_starting_with(cloud, name)))
    here = list(ids_starting_with(stores.local, name))
    try:
        there = question.answer(within_s) if question else []
        unheard = None
    except DayflyError as error:
        if not here:
            raise
        there, unheard = [], error
    run_id = choose_id(name, here + there, _both(stores, unheard))
    return Found(run_id=run_id, store=_having(stores, run_id, here), unheard=unheard)


def _find_last(stores: Stores, within_s: float, *, of_sweeps: bool) -> Found:
    newest, nothing = (newest_sweep_id, no_sweeps) if of_sweeps else (newest_id, no_runs)
    question = _ask_cloud(stores, newest)
    here, there, unheard = newest(stores.local), None, None
    try:
        there = question.answer(within_s) if question is not None else None
    except DayflyError as error:
        if here is None:
            raise
        unheard = error
    found = max((each for each in (here, there) if each is not None), key=ids.age, default=None)
    if found is None:
        raise nothing(_both(stores, None))
    store = _having(stores, found, [here] if here is not None else [])
    return Found(run_id=found, store=store, unheard=unheard)


def _having(stores: Stores, run_id: str, here: list[str]) -> Store:
    if run_id in here or stores.cloud is None:
        return stores.local
    return stores.cloud


def _both(stores: Stores, unheard: DayflyError | None) -> str:
    """The stores that were looked at, in words."""
    if unheard is not None or stores.cloud is None:
        return stores.local.url
    return f"{stores.local.url} or {stores.cloud.url}"


def _ask_cloud(stores: Stores, call: Callable[[Store], T]) -> Question[T] | None:
    open_cloud = stores.open_cloud
    if open_cloud is None:
        return None

    def ask() -> T:
        cloud = stores.cloud
        assert cloud is not None  # noqa: S101 -- there is something to open
        return call(cloud)

    return Question(ask, "The store of the runs in AWS")

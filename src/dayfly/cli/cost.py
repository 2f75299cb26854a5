"""`dayfly cost`: what runs have cost, estimated, and what AWS has billed."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayfly.cli.options import (
    JsonOption,
    LocalOption,
    StoreOption,
    find_named,
    open_aws_of_project,
    open_stores,
    tell_unheard,
)
from dayfly.cli.text import to_stderr

if TYPE_CHECKING:
    from dayfly.aws.billed import Billed
    from dayfly.aws.cost import RunCost
    from dayfly.backends.everywhere import PlacedRun, Where
    from dayfly.backends.stores import Stores
    from dayfly.backends.sweep_view import Sweep
    from dayfly.runs.run import Run
    from dayfly.runs.store import Store

_AT_ONCE = 16


def cost(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run or sweep: an id, a prefix that only one has, or `last`; `S[7]`: a point.",
        ),
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="How far back to look for runs, such as 30d.")
    ] = "30d",
    actual: Annotated[
        bool, typer.Option("--actual", help="Also what AWS has billed: asking costs $0.01.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
    local: LocalOption = False,
) -> None:
    """Tell what runs, sweeps, builds and labs have cost: estimated, one by its cells; and what AWS billed."""
    from dayfly.aws.cost import cost_of_cells
    from dayfly.cli.cost_text import print_cost, print_costs, run_to_json, runs_to_json
    from dayfly.runs.run import Run

    now = datetime.now(UTC)
    if name is not None:
        named = find_named(name, store, local=local)
        found = _cost_of(named, now)
        begun = found.begun or now
        billed = _ask_billed(begun) if actual and found.paid else None
        cells = cost_of_cells(found, named.events()) if isinstance(named, Run) else ()
        if as_json:
            _print_json(run_to_json(found, cells, billed))
        else:
            print_cost(found, cells, billed)
        return
    begun = now - _parse_since(since)
    found_runs, here = _costs_since(open_stores(store, local=local), begun, now)
    billed = _ask_billed(begun) if actual else None
    if as_json:
        _print_json(runs_to_json(found_runs, here, billed, since=begun))
    else:
        print_costs(found_runs, here, billed, since=since)


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=1))


def _parse_since(text: str) -> timedelta:
    from dayfly.errors import UsageError
    from dayfly.project.units import parse_duration

    try:
        return timedelta(seconds=parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--since {text!r} {error}.") from error


def _cost_of(named: Run | Sweep, now: datetime) -> RunCost:
    """What a run, a point or a whole sweep has cost."""
    from dayfly.aws.cost import cost_of_run
    from dayfly.aws.sweep_cost import cost_of_point, cost_of_sweep
    from dayfly.runs.run import Run

    if not isinstance(named, Run):
        return cost_of_sweep(named.store, named.sweep_id, now=now, cache=_kept())
    if named.request.backend == "batch":
        return cost_of_point(named, named.state, now=now)
    return cost_of_run(named, named.state, now=now)


def _kept() -> Path | None:
    """Where results of sweeps in stores elsewhere are kept; None for a user without a home."""
    from dayfly.errors import UsageError
    from dayfly.runner.directories import cache_directory

    with suppress(UsageError):
        return cache_directory(os.environ) / "results"
    return None


def _costs_since(stores: Stores, begun: datetime, now: datetime) -> tuple[list[RunCost], int]:
    """What was in AWS has cost, the newest first; and how many runs there were on this machine."""
    from concurrent.futures import ThreadPoolExecutor

    from dayfly.aws.cost import cost_of_task, find_tasks
    from dayfly.backends.everywhere import list_everywhere
    from dayfly.errors import DayflyError
    from dayfly.runs import ids

    listing = list_everywhere(stores)
    if listing.unheard is not None:
        tell_unheard(listing.unheard)
    bucket = stores.local if listing.unheard is not None or stores.cloud is None else stores.cloud

    def ask(question: Callable[[], tuple[RunCost, int]]) -> tuple[RunCost, int] | DayflyError:
        try:
            return question()
        except DayflyError as error:
            return error

    runs = [one for one in listing.runs if one.summary.requested >= begun]
    questions = _questions(runs, stores.local, bucket, now)
    for folder, task_id in find_tasks(bucket, begun):
        questions.append(partial(_counted, partial(cost_of_task, bucket, folder, task_id, now=now), 1))
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = list(threads.map(ask, questions))
    for answer in answers:
        if isinstance(answer, DayflyError):
            to_stderr(f"warning: {answer.what}")
    costs = [answer for answer in answers if not isinstance(answer, DayflyError)]
    paid = [one for one, _ in costs if one.paid]
    paid.sort(key=lambda one: ids.age(one.run_id), reverse=True)
    return paid, sum(number for one, number in costs if not one.paid)


def _counted(question: Callable[[], RunCost], number: int) -> tuple[RunCost, int]:
    """What something has cost, and how many runs it is."""
    return question(), number


def _questions(
    runs: Sequence[PlacedRun], local: Store, bucket: Store, now: datetime
) -> list[Callable[[], tuple[RunCost, int]]]:
    """A question for each run, and one for all the runs of a sweep: AWS bills a sweep as a whole, too."""
    from dayfly.aws.cost import cost_of_run
    from dayfly.aws.sweep_cost import cost_of_sweep
    from dayfly.runs import ids
    from dayfly.runs.run import Run

    def ask_run(one: PlacedRun) -> RunCost:
        opened = bucket if one.where == "ec2" else local
        return cost_of_run(Run(one.summary.run_id, opened), one.summary.state, now=now)

    found: list[Callable[[], tuple[RunCost, int]]] = []
    of_sweeps: Counter[tuple[str, Where]] = Counter()
    for one in runs:
        named = ids.sweep_of(one.summary.run_id)
        if named is None:
            found.append(partial(_counted, partial(ask_run, one), 1))
        else:
            of_sweeps[named[0], one.where] += 1
    for (sweep_id, where), number in of_sweeps.items():
        store = bucket if where == "ec2" else local
        found.append(
            partial(_counted, partial(cost_of_sweep, store, sweep_id, now=now, cache=_kept()), number)
        )
    return found


def _ask_billed(begun: datetime) -> Billed:
    """What AWS has billed since a day. Says first that asking is not free."""
    from dayfly.aws.account import aws_project_name
    from dayfly.aws.billed import load_billed
    from dayfly.project.load import load_project

    aws = open_aws_of_project()
    project = aws_project_name(load_project(Path.cwd(), os.environ, only=("aws",)))
    to_stderr("Asking Cost Explorer, which charges $0.01 for each request; this is one.")
    return load_billed(aws, project, since=begun)

"""`dayfly cost`: what runs have cost, estimated, and what AWS has billed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dayfly.cli.options import (
    JsonOption,
    LocalOption,
    StoreOption,
    find_run,
    open_aws_of_project,
    open_stores,
    tell_unheard,
)
from dayfly.cli.text import to_stderr

if TYPE_CHECKING:
    from dayfly.aws.billed import Billed
    from dayfly.aws.cost import RunCost
    from dayfly.backends.everywhere import PlacedRun
    from dayfly.backends.stores import Stores

_AT_ONCE = 16


def cost(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run id, a prefix that only one run has, or `last`."),
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
    """Tell what runs, builds and labs have cost: estimated, by cell for one run; and what AWS has billed."""
    from dayfly.aws.cost import cost_of_cells, cost_of_run
    from dayfly.cli.cost_text import print_cost, print_costs, run_to_json, runs_to_json

    now = datetime.now(UTC)
    if name is not None:
        run = find_run(name, store, local=local)
        found = cost_of_run(run, run.state, now=now)
        begun = found.begun or now
        billed = _ask_billed(begun) if actual and found.machine is not None else None
        cells = cost_of_cells(found, run.events())
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


def _costs_since(stores: Stores, begun: datetime, now: datetime) -> tuple[list[RunCost], int]:
    """What machines have cost, the newest first; and how many runs there were on this machine."""
    from concurrent.futures import ThreadPoolExecutor

    from dayfly.aws.cost import cost_of_run, cost_of_task, find_tasks
    from dayfly.backends.everywhere import list_everywhere
    from dayfly.errors import DayflyError
    from dayfly.runs import ids
    from dayfly.runs.run import Run

    listing = list_everywhere(stores)
    if listing.unheard is not None:
        tell_unheard(listing.unheard)
    cloud = None if listing.unheard is not None else stores.cloud

    def ask_run(one: PlacedRun) -> RunCost:
        opened = cloud if one.where == "ec2" and cloud is not None else stores.local
        return cost_of_run(Run(one.summary.run_id, opened), one.summary.state, now=now)

    def ask(question: Callable[[], RunCost]) -> RunCost | DayflyError:
        try:
            return question()
        except DayflyError as error:
            return error

    bucket = cloud or stores.local
    questions: list[Callable[[], RunCost]] = [
        partial(ask_run, one) for one in listing.runs if one.summary.requested >= begun
    ]
    questions += [partial(cost_of_task, bucket, *task, now=now) for task in find_tasks(bucket, begun)]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = list(threads.map(ask, questions))
    for answer in answers:
        if isinstance(answer, DayflyError):
            to_stderr(f"warning: {answer.what}")
    costs = [answer for answer in answers if not isinstance(answer, DayflyError)]
    paid = [one for one in costs if one.machine is not None]
    paid.sort(key=lambda one: ids.age(one.run_id), reverse=True)
    return paid, len(costs) - len(paid)


def _ask_billed(begun: datetime) -> Billed:
    """What AWS has billed since a day. Says first that asking is not free."""
    import os
    from pathlib import Path

    from dayfly.aws.account import aws_project_name
    from dayfly.aws.billed import load_billed
    from dayfly.project.load import load_project

    aws = open_aws_of_project()
    project = aws_project_name(load_project(Path.cwd(), os.environ, only=("aws",)))
    to_stderr("Asking Cost Explorer, which charges $0.01 for each request; this is one.")
    return load_billed(aws, project, since=begun)

"""What runs have cost, as a person reads it and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

from dayfly.aws.billed import HOW_TO_ACTIVATE
from dayfly.aws.cost import BatchShare, CellCost, RunCost, rest_of, total_of
from dayfly.aws.money import dollars, dollars_per_hour
from dayfly.cli.text import format_duration, print_table, safe_text, to_stderr
from dayfly.runs.ids import sweep_of

if TYPE_CHECKING:
    from dayfly.aws.billed import Billed

_SOURCE_WIDTH = 44
_BOUND = """\
Sweeps on AWS Batch: all attempts, by the dearest price that Batch may have paid, without idle machines."""
_MARKS = {"ended": "", "so far": "so far", "at most": "at most"}


def print_costs(costs: Sequence[RunCost], here: int, billed: Billed | None, *, since: str) -> None:
    """A line a run on stdout, then the total; what is to be known of it on stderr."""
    if not costs:
        to_stderr(f"Nothing of the last {since} had a machine in AWS.")
    else:
        _print_table(costs, billed)
    if here:
        to_stderr(f"{_count(here)} on this machine cost nothing.")
    if billed is not None:
        _tell_billed(billed, {cost.run_id for cost in costs})
    if costs:
        to_stderr(f"Estimated{_prices_of(costs)}; without data transfer and requests to S3.")
        if any(cost.share is not None for cost in costs):
            to_stderr(_BOUND)
        if billed is None:
            to_stderr(f"What AWS has billed, for $0.01: dayfly cost --since {since} --actual")


def _print_table(costs: Sequence[RunCost], billed: Billed | None) -> None:
    total = dollars(total_of(costs))
    rows = [
        [cost.run_id, _machine(cost), _lived(cost), _amount(cost.dollars), *_bill(cost, billed)]
        for cost in costs
    ]
    unknown = sum(cost.dollars is None for cost in costs)
    more = f"and {unknown} unknown" if unknown else ""
    last = ["total", "", more, total]
    if billed is not None:
        last.append(dollars(sum((billed.by_run.get(cost.run_id, Decimal(0)) for cost in costs), Decimal(0))))
    headings = ["RUN", "MACHINE", "LIVED", "COST", *(["BILLED"] if billed is not None else [])]
    print_table(*_right([headings, *rows, last], columns=range(3, len(headings))))


def _right(rows: list[list[str]], columns: range) -> tuple[list[str], list[list[str]]]:
    """Headings and rows with the columns of numbers aligned at their ends."""
    for column in columns:
        width = max(len(row[column]) for row in rows)
        for row in rows:
            row[column] = row[column].rjust(width)
    return rows[0], rows[1:]


def _machine(cost: RunCost) -> str:
    if cost.share is not None:
        return f"Batch, {_vcpus(cost.share)}" + (" spot" if cost.share.spot else "")
    if cost.machine is None:
        return ""
    return cost.machine.instance_type + (" spot" if cost.machine.spot else "")


def _vcpus(share: BatchShare) -> str:
    return "1 vCPU" if share.vcpus == 1 else f"{share.vcpus} vCPUs"


def _lived(cost: RunCost) -> str:
    """With a mark where it is not the whole truth."""
    if cost.begun is None:
        return "never"
    return f"{format_duration(cost.lived.total_seconds())} {_MARKS[cost.certainty]}".rstrip()


def _amount(amount: Decimal | None) -> str:
    return "unknown" if amount is None else dollars(amount)


def _bill(cost: RunCost, billed: Billed | None) -> list[str]:
    if billed is None:
        return []
    known = billed.by_run.get(cost.run_id)
    return ["-" if known is None else dollars(known)]


def _prices_of(costs: Sequence[RunCost]) -> str:
    """When the prices were looked up."""
    days = sorted(
        {f"{cost.machine.price_at:%Y-%m-%d}" for cost in costs if cost.machine and cost.machine.price_at}
    )
    if not days:
        return ""
    return f" from prices of {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "")


def _tell_billed(billed: Billed, shown: set[str]) -> None:
    if billed.nothing:
        to_stderr("AWS has billed nothing that bears this project's tag.")
        for line in HOW_TO_ACTIVATE.splitlines():
            to_stderr(f"  {line}")
        return
    others = sum((amount for run_id, amount in billed.by_run.items() if run_id not in shown), Decimal(0))
    if others:
        to_stderr(f"Billed for machines that are not listed: {dollars(others)}")
    if billed.shared:
        to_stderr(f"Billed for what all share (storage, images): {dollars(billed.shared)}")
    to_stderr("A bill is complete after a day or two.")


def _count(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def print_cost(cost: RunCost, cells: Sequence[CellCost], billed: Billed | None) -> None:
    """One run: its machine, how long it lived, and the share of each cell."""
    if not cost.paid:
        to_stderr(f"{cost.run_id} had no machine in AWS: it cost nothing.")
        return
    typer.echo(typer.style(cost.run_id, bold=True))
    for name, value in _place_lines(cost):
        _print_line(name, value)
    _print_line("cost", _amount(cost.dollars) + (" at most" if cost.certainty == "at most" else ""))
    if billed is not None:
        _print_line("billed", _billed(cost, billed))
        if billed.nothing:
            _tell_billed(billed, set())
    if cells:
        typer.echo()
        _print_cells(cost, cells)


def _place_lines(cost: RunCost) -> list[tuple[str, str]]:
    """Where it was, at which price, and for how long."""
    price = cost.price_per_hour
    each = "price unknown" if price is None else dollars_per_hour(price)
    machine, share = cost.machine, cost.share
    if share is not None:
        size = f"{_machine(cost)} and {share.memory_mib:,} MiB a point"
        attempts = "1 attempt" if share.attempts == 1 else f"{share.attempts:,} attempts"
        return [
            ("machines", f"{size} in {share.region}, {each} at most"),
            ("ran", f"{_lived(cost)}, {attempts}" if share.attempts else "never: no point was begun"),
        ]
    looked = f" (price of {machine.price_at:%Y-%m-%d})" if machine and machine.price_at else ""
    return [
        ("machine", f"{_machine(cost)} in {machine.region if machine else ''}, {each}{looked}"),
        ("lived", _lived(cost) if cost.begun else "never: no machine was made"),
    ]


def _billed(cost: RunCost, billed: Billed) -> str:
    named = sweep_of(cost.run_id)
    if named is not None:
        return f"AWS bills a sweep as a whole: dayfly cost {named[0]} --actual"
    known = billed.by_run.get(cost.run_id)
    return "nothing yet" if known is None else dollars(known)


def _print_line(name: str, value: str) -> None:
    typer.echo(f"{typer.style(name.ljust(11), dim=True)}{value}")


def _print_cells(cost: RunCost, cells: Sequence[CellCost]) -> None:
    took, amount = rest_of(cost, cells)
    rows = [
        [
            str(cell.number),
            format_duration(cell.took.total_seconds()),
            _amount(cell.dollars),
            safe_text(cell.source).replace("\t", " ")[:_SOURCE_WIDTH],
        ]
        for cell in cells
    ]
    rest = ["", format_duration(took.total_seconds()), _amount(amount), "boot, image, saving, end"]
    print_table(*_right([["CELL", "TOOK", "COST", "SOURCE"], *rows, rest], columns=range(3)))


def runs_to_json(
    costs: Sequence[RunCost], here: int, billed: Billed | None, *, since: datetime
) -> dict[str, Any]:
    """The same for programs; dollars are text, so that no digit is lost."""
    return {
        "since": since.isoformat(),
        "runs": [_to_json(cost, billed) for cost in costs],
        "runs_without_machine": here,
        "total": str(total_of(costs)),
        "unknown": sum(cost.dollars is None for cost in costs),
        "billed": None if billed is None else _billed_to_json(billed),
    }


def run_to_json(cost: RunCost, cells: Sequence[CellCost], billed: Billed | None) -> dict[str, Any]:
    """One run with its cells."""
    on_machine = cells if cost.paid else ()
    return {
        **_to_json(cost, billed),
        "cells": [
            {
                "cell": cell.number,
                "source": cell.source,
                "duration_s": cell.took.total_seconds(),
                "dollars": _text(cell.dollars),
            }
            for cell in on_machine
        ],
    }


def _to_json(cost: RunCost, billed: Billed | None) -> dict[str, Any]:
    machine, share = cost.machine, cost.share
    return {
        "run_id": cost.run_id,
        "state": cost.state,
        "machine": machine.model_dump(mode="json") if machine is not None else None,
        "batch": None if share is None else {**asdict(share), "price_per_hour": _text(share.price_per_hour)},
        "begun": cost.begun.isoformat() if cost.begun else None,
        "lived_s": cost.lived.total_seconds(),
        "dollars": _text(cost.dollars),
        "certainty": cost.certainty,
        **({"billed": _text(billed.by_run.get(cost.run_id))} if billed is not None else {}),
    }


def _billed_to_json(billed: Billed) -> dict[str, Any]:
    return {
        "runs": {run_id: str(amount) for run_id, amount in sorted(billed.by_run.items())},
        "shared": str(billed.shared),
        "requests": billed.requests,
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)

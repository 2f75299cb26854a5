"""What a sweep would run: `--dry-run`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from dayfly.cli.batch_plan import batch_facts, batch_lines
from dayfly.cli.sweep_text import describe_parameters
from dayfly.cli.text import format_duration
from dayfly.runs.sweep_states import open_points

if TYPE_CHECKING:
    from dayfly.backends.sweep_plan import SweepPlan

_SHOWN = 10


def print_sweep_plan(plan: SweepPlan, *, as_json: bool) -> None:
    """The plan of a sweep, on stdout; nothing was created, and nothing will be."""
    if as_json:
        typer.echo(json.dumps(_facts(plan), indent=1))
        return
    for name, value in _lines(plan):
        typer.echo(f"{name:<10} {value}")
    typer.echo()
    for index, point in enumerate(plan.points[:_SHOWN]):
        there = f"   there already, {point.run}" if point.run is not None else ""
        typer.echo(f"[{index}] {describe_parameters(point.parameters)}{there}")
    if len(plan.points) > _SHOWN:
        typer.echo(f"and {len(plan.points) - _SHOWN:,} more")


def _to_run(plan: SweepPlan) -> int:
    attempts = plan.continues.attempts if plan.continues is not None else {}
    return len(open_points(plan.sweep, plan.points, attempts, {}))


def _describe_jobs(jobs: int | None, to_run: int) -> str:
    """How many at once; no more than there are to run, however many were asked for."""
    if jobs is None:
        return "as many as cores and memory bear"
    return f"{jobs:,}" if jobs <= to_run else f"{jobs:,}, but no more than are to run"


def _facts(plan: SweepPlan) -> dict[str, Any]:
    return {
        "request": plan.sweep.model_dump(mode="json"),
        "continues": plan.sweep.sweep_id if plan.continues is not None else None,
        "there": dict(plan.there),
        "to_run": _to_run(plan),
        "equal": plan.asked - len(plan.points),
        "batch": batch_facts(plan.batch),
        "points": [{"parameters": point.parameters, "run": point.run} for point in plan.points],
    }


def _lines(plan: SweepPlan) -> Iterator[tuple[str, str]]:
    sweep = plan.sweep
    run = sweep.run
    equal = plan.asked - len(plan.points)
    yield "notebook", run.notebook
    yield "on", run.backend
    yield "kernel", run.kernel
    yield "points", f"{len(plan.points):,}" + (f", without {equal:,} equal ones" if equal else "")
    if run.parameters:
        yield "shared", describe_parameters(run.parameters)
    yield "to run", f"{_to_run(plan):,}"
    if plan.continues is not None:
        yield "goes on", f"with {sweep.sweep_id}, which has these points"
    for sweep_id, number in plan.there.items():
        yield "there", f"{number:,}, in {sweep_id}"
    if run.backend != "batch":
        yield "jobs", _describe_jobs(plan.jobs or sweep.jobs, _to_run(plan))
    if run.snapshot is not None:
        yield "commit", (run.snapshot.base or run.snapshot.commit)[:12]
    if run.image is not None:
        yield "image", run.image.tag
    if plan.batch is not None:
        yield from batch_lines(plan.batch)
    elif run.backend != "batch":
        yield "timeout", "none" if run.timeout_s is None else f"{format_duration(run.timeout_s)} a run"

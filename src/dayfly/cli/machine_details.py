"""What `dayfly show` and the end of a run say of its machine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from dayfly.cli.places import place_of
from dayfly.cli.progress import describe_failure
from dayfly.cli.text import describe_deadline, format_when, safe_text, to_stderr
from dayfly.runs import layout
from dayfly.runs.state import State

if TYPE_CHECKING:
    from dayfly.aws.machine_facts import MachineFacts
    from dayfly.aws.teardown import MachineEnd
    from dayfly.runs.result import Result
    from dayfly.runs.run import Run


def print_line(name: str, value: str) -> None:
    """One line of `dayfly show`: what it is, and the value."""
    typer.echo(f"{typer.style(name.ljust(11), dim=True)}{value}")


def machine_to_json(facts: MachineFacts) -> dict[str, Any]:
    """A run's machine for programs. Dollars are text."""
    cost = facts.cost(datetime.now(UTC)) if facts.alive else None
    return {
        "source": facts.source.model_dump(mode="json"),
        "record": facts.record.model_dump(mode="json") if facts.record else None,
        "teardown": facts.end.teardown,
        "stack_status": facts.end.status,
        "why": facts.end.why,
        "failed": facts.failed,
        "cause": None if facts.cause is None else f"{facts.cause.logical_id}: {facts.cause.reason}",
        "cost_so_far": None if cost is None else str(cost),
    }


def print_machine(run: Run, facts: MachineFacts, state: State | None, result: Result | None) -> None:
    """What it is, what it costs, when it ends at the latest, and where its stack stands."""
    source, now = facts.source, datetime.now(UTC)
    kind = f"{source.instance_type}{' spot' if source.spot else ''}"
    kind += f" ({source.arch}, {source.disk_gib} GiB disk)"
    print_line("machine", f"{kind} in {source.region}, of {source.owner or source.project}")
    print_line("price", _price(facts, now))
    cost = facts.cost(result.ended if result is not None and not facts.alive else now)
    if cost is not None:
        from dayfly.aws.money import dollars

        until = "so far" if facts.alive or (state is not None and not state.ended) else "until the run ended"
        print_line("cost", f"about {dollars(cost)} {until}")
    print_line("deadline", describe_deadline(source.deadline, now))
    if facts.record is not None:
        print_line("stack", f"{facts.record.stack_name}")
        print_line("", describe_end(facts.end))
    if run.store.exists(layout.run_key(run.run_id, layout.MACHINE_LOG)):
        print_line("boot log", place_of(run, layout.MACHINE_LOG))


def _price(facts: MachineFacts, now: datetime) -> str:
    from dayfly.aws.money import dollars_per_hour

    source = facts.source
    if source.price_per_hour is None:
        return "unknown when it was planned"
    looked_up = f", looked up {format_when(source.price_at, now)}" if source.price_at else ""
    return f"{dollars_per_hour(source.price_per_hour)} with disk and address{looked_up}"


def describe_end(end: MachineEnd) -> str:
    """Where the end of a machine is, in a sentence."""
    from dayfly.aws.teardown import Teardown

    status, why = end.status, safe_text(end.why)
    return {
        Teardown.ALIVE: f"alive ({status})",
        Teardown.PENDING: f"being deleted ({status})",
        Teardown.DONE: "deleted: nothing of the machine is left",
        Teardown.STUCK: f"stuck ({status}): {why}",
        Teardown.UNKNOWN: f"unknown: {why}",
    }[end.teardown]


def print_machine_failure(facts: MachineFacts) -> None:
    """Why a machine never came to its notebook, or was lost, as far as anybody knows."""
    failed, cause = facts.failed, facts.cause
    if failed is not None:
        print_line("boot", describe_failure(failed))
        for line in safe_text(str(failed.get("message") or "")).strip().splitlines()[-5:]:
            print_line("", line)
    if cause is not None:
        what = f"{cause.logical_id} ({cause.type})" if not cause.of_stack else "the stack"
        print_line("AWS", safe_text(f"{what}: {cause.reason or cause.status}"))
    elif failed is None and facts.record is None:
        print_line("machine", "Its stack was never made: its submission was cut off, or AWS refused.")


def machine_commands(facts: MachineFacts, state: State) -> list[str]:
    """What to do next about the machine of a run that has ended."""
    from dayfly.aws.teardown import Teardown

    if facts.end.teardown is Teardown.STUCK:
        return ["stop --now"]
    if facts.end.teardown is Teardown.ALIVE and state is not State.SUCCEEDED:
        return ["ssh", "stop --now"]  # it is kept for a look, or ends in a moment
    return []


def tell_machine_end(run: Run, state: State | None) -> None:
    """One line on stderr, when a run has ended: what becomes of its machine."""
    from dayfly.aws.machine_facts import load_machine_facts
    from dayfly.aws.teardown import Teardown
    from dayfly.cli.options import open_aws_of_project

    facts = load_machine_facts(run, state, open_aws_of_project)
    if facts is None or facts.record is None:
        return
    words = describe_end(facts.end)
    if facts.end.teardown is Teardown.ALIVE:
        words = f"ends itself now; at the latest at its deadline, {facts.source.deadline.astimezone():%H:%M}"
    to_stderr(f"  machine   {words}")
    if facts.end.teardown is Teardown.STUCK:
        to_stderr(f"            end it with: dayfly stop --now {run.run_id}")

"""A rehearsal's verdict, as a person reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dayfly.cli.text import format_duration, format_size, print_table, safe_text, style_state

if TYPE_CHECKING:
    from dayfly.rehearsal.faults import Fault
    from dayfly.rehearsal.verdict import Verdict


def print_verdict(verdict: Verdict, *, took_s: float) -> None:
    """The end of a rehearsal, on stdout."""
    rows = []
    if verdict.state is not None:
        rows = [
            ("notebook", f"{style_state(verdict.state)}{_reason(verdict)}"),
            ("cells", f"{verdict.cells_done} of {verdict.cells} executed"),
            ("output", format_size(verdict.output_bytes) if verdict.output_bytes else "none"),
        ]
    rows += [
        ("machine", _machine(verdict)),
        ("stack", verdict.stack),
        ("schedule", f"{verdict.schedule} (the clock was moved past the deadline)"),
        ("left over", ", ".join(verdict.left_over) or "nothing"),
        ("on AWS", _cost(verdict)),
        ("took", format_duration(took_s)),
    ]
    for name, value in rows:
        typer.echo(f"{name:<10} {value}")


def _reason(verdict: Verdict) -> str:
    if verdict.reason in {"", "completed"}:
        return ""
    return f" ({verdict.reason}): {safe_text(verdict.message.splitlines()[0] if verdict.message else '')}"


def _machine(verdict: Verdict) -> str:
    if verdict.gone_after_s is None:
        return "stands still"
    return f"{verdict.machine_ended}, gone {format_duration(verdict.gone_after_s)} after the run's end"


def _cost(verdict: Verdict) -> str:
    lived = format_duration(verdict.lived_s)
    if verdict.cost is None:
        return f"a machine for {lived}"
    from dayfly.aws.money import dollars

    return f"a machine for {lived}, about {dollars(verdict.cost)} by the rehearsal's invented prices"


def print_matrix(rows: list[tuple[Fault, str, Verdict]]) -> None:
    """What came of each fault, on stdout."""
    table = [
        [
            fault.name,
            moment,
            f"{style_state(verdict.state)}{f' ({verdict.reason})' if verdict.reason else ''}",
            f"{verdict.cells_done} of {verdict.cells}" if verdict.cells else "nothing",
            gone_words(verdict),
            "clean" if verdict.clean else ", ".join(verdict.left_over) or verdict.stack,
        ]
        for fault, moment, verdict in rows
    ]
    print_table(["FAULT", "AT", "TOLD", "CELLS", "MACHINE GONE", "LEFT"], table)


def describe_matrix_row(verdict: Verdict) -> str:
    """What came of one fault, in a line."""
    state = style_state(verdict.state)
    left = "nothing is left" if verdict.clean else f"left: {', '.join(verdict.left_over) or verdict.stack}"
    if verdict.reason == "refused":
        return f"{verdict.message.splitlines()[0]} {left[0].upper()}{left[1:]}."
    return f"{state}; {verdict.cells_done} of {verdict.cells} cells; gone: {gone_words(verdict)}; {left}"


def write_report(rows: list[tuple[Fault, str, Verdict]], file: Path) -> None:
    """The same as a page of its own. Raises UsageError when it cannot be written."""
    from dayfly.errors import UsageError
    from dayfly.report.matrix import MatrixRow, render_matrix

    page = render_matrix(
        [
            MatrixRow(
                fault=fault.name,
                says=fault.says,
                moment=moment,
                state=str(verdict.state),
                reason=verdict.reason,
                message=safe_text(verdict.message),
                cells=f"{verdict.cells_done} of {verdict.cells}" if verdict.cells else "none",
                output=format_size(verdict.output_bytes) if verdict.output_bytes else "none",
                gone=gone_words(verdict),
                left=", ".join(verdict.left_over),
                clean=verdict.clean,
            )
            for fault, moment, verdict in rows
        ]
    )
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written.", why=str(error.strerror)) from error


def gone_words(verdict: Verdict) -> str:
    """When the machine was gone."""
    if verdict.gone_after_s is None:
        return "stands still"
    if verdict.machine_ended == "never began":
        return "none was made"
    return "by its deadline" if verdict.by_deadline else format_duration(verdict.gone_after_s)

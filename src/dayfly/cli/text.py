"""Words and numbers as a person reads them in a terminal."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta

import typer

from dayfly.errors import DayflyError
from dayfly.runs.state import State

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links, clipboard
    r"|\x1b[P^_X][^\x1b]*(?:\x1b\\)?"  # DCS, PM, APC, SOS
    r"|\x1b[@-Z\\-_]?"
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
COLOURS = {
    State.SUCCEEDED: typer.colors.GREEN,
    State.FAILED: typer.colors.RED,
    State.TIMED_OUT: typer.colors.RED,
    State.LOST: typer.colors.RED,
    State.NEVER_STARTED: typer.colors.RED,
    State.CANCELLED: typer.colors.YELLOW,
    State.INTERRUPTED: typer.colors.YELLOW,
}
SYMBOLS = {State.SUCCEEDED: "✓", State.CANCELLED: "■", State.INTERRUPTED: "■"}


def safe_text(text: str, *, colours: bool = False) -> str:
    """Text from a notebook without what could drive the terminal; `colours` keeps colour codes."""

    def keep(match: re.Match[str]) -> str:
        return match[0] if colours and _COLOUR.fullmatch(match[0]) else ""

    return _CONTROLS.sub("", _ESCAPES.sub(keep, text))


def print_error(error: DayflyError) -> None:
    """What happened, why, and what to do next, on stderr."""
    typer.secho("error: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
    typer.secho(safe_text(error.what), bold=True, err=True)
    for part in (error.why, error.hint):
        for line in safe_text(part).splitlines():
            typer.echo(f"  {line}", err=True)


def style_state(state: State | None) -> str:
    """A state, coloured where the terminal can."""
    if state is None:
        return "unknown"
    return typer.style(str(state), fg=COLOURS.get(state, typer.colors.CYAN))


def format_duration(seconds: float) -> str:
    """`0.42 s`, `12.3 s`, `4m 05s`, `2h 03m`, `3d 4h`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h"


def format_size(size: float) -> str:
    """`312 B`, `4.2 kB`, `13 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def format_when(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, or the local date when that is more than two days."""
    ago = (now or datetime.now(UTC)) - moment
    if ago < timedelta(minutes=1):
        return "just now" if ago < timedelta(seconds=10) else f"{ago.seconds} s ago"
    if ago < timedelta(hours=1):
        return f"{ago.seconds // 60} min ago"
    if ago < timedelta(days=2):
        return f"{int(ago.total_seconds() // 3600)} h ago"
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def describe_deadline(deadline: datetime, now: datetime) -> str:
    """Absolute, in local time, and how long from `now`."""
    left_s = (deadline - now).total_seconds()
    distance = f"in {format_duration(left_s)}" if left_s >= 0 else f"{format_duration(-left_s)} ago"
    return f"{deadline.astimezone():%Y-%m-%d %H:%M:%S %Z} ({distance})"


def print_table(headings: list[str], rows: list[list[str]], notes: list[str] | None = None) -> None:
    """Rows under headings, columns as wide as they need, on stdout; `notes` has a line below each row."""
    cells = [headings, *rows]
    widths = [max(len(_plain(row[column])) for row in cells) for column in range(len(headings))]
    for number, row in enumerate(cells):
        padded = [cell + " " * (width - len(_plain(cell))) for cell, width in zip(row, widths, strict=True)]
        line = "  ".join(padded).rstrip()
        typer.echo(typer.style(line, dim=True) if number == 0 else line)
        if notes and number:
            typer.echo(f"  {notes[number - 1]}")


def _plain(cell: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", cell)


def to_stderr(line: str = "") -> None:
    """One line to the person, beside what goes to stdout."""
    typer.echo(line, err=True)


def is_terminal() -> bool:
    """Whether a person watches stderr."""
    return sys.stderr.isatty()

"""Run ids: `20261123-101502-analysis-7f3a`. They sort by time and say which notebook ran.

The first two digits of the token are the 256th of the second, so that `age` puts runs of one second
in order too; the rest is random.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from pathlib import PurePath

from dayfly.runs.compat import UTC

RUN_ID = re.compile(
    r"(\d{8}-\d{6})-([a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?)-([0-9a-f]{4,8})(?:\.(\d{1,7})(?:\.(\d{1,4}))?)?",
    re.ASCII,
)
"""The last two are of a run in a sweep: its point's index and, from the second on, the attempt."""
_SLUG_LENGTH = 32


def new_run_id(notebook: str, now: datetime, token: str | None = None) -> str:
    """A run id for `notebook` (a path or name) requested at `now` (timezone-aware).

    `token` is four to eight hexadecimal digits that order and tell apart runs of one second.
    Whoever creates the run directory notices a collision and asks again.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    token = token or f"{now.microsecond * 256 // 1_000_000:02x}{secrets.token_hex(1)}"
    return f"{stamp}-{slug(notebook)}-{token}"


def age(run_id: str) -> tuple[str, str, str, int, int]:
    """Sorts run ids by the time of their request, to the 256th of a second, then by point and attempt."""
    match = RUN_ID.fullmatch(run_id)
    if match is None:
        return ("", "", run_id, -1, 0)
    return (match[1], match[3], match[2], int(match[4] or -1), int(match[5] or 0))


def child_id(sweep_id: str, index: int, count: int, attempt: int = 1) -> str:
    """The id of the run of a point, from 0, of a sweep of `count` points."""
    number = f"{sweep_id}.{index:0{len(str(max(count - 1, 0)))}d}"
    return number if attempt == 1 else f"{number}.{attempt}"


def sweep_of(run_id: str) -> tuple[str, int, int] | None:
    """The sweep, point and attempt of a run in a sweep; None for any other."""
    match = RUN_ID.fullmatch(run_id)
    if match is None or match[4] is None:
        return None
    return run_id.partition(".")[0], int(match[4]), int(match[5] or 1)


def slug(notebook: str) -> str:
    """The notebook's name in at most 32 characters of `a-z`, `0-9` and `-`."""
    stem = PurePath(notebook).name.removesuffix(".ipynb").lower()
    cleaned = re.sub(r"[^a-z0-9]+", "-", stem)[:_SLUG_LENGTH].strip("-")
    return cleaned or "notebook"


def is_run_id(text: str) -> bool:
    """Whether `text` has the form of a run id."""
    return RUN_ID.fullmatch(text) is not None


def started_at(run_id: str) -> datetime | None:
    """When the run was requested, in UTC, or None when `run_id` is not a run id."""
    match = RUN_ID.fullmatch(run_id)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def notebook_slug(run_id: str) -> str:
    """The notebook's name as the run id has it."""
    match = RUN_ID.fullmatch(run_id)
    return match[2] if match else run_id

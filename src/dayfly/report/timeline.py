"""Where the time of a run went, as a value: phases, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class Part(StrEnum):
    """What a phase belongs to: the way to the notebook, the notebook, or the way out."""

    BEFORE = "before"
    NOTEBOOK = "notebook"
    AFTER = "after"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Something that took time. `end` is None while it goes on; times are UTC."""

    name: str
    part: Part
    start: datetime
    end: datetime | None
    detail: str = ""
    failed: bool = False

    def duration(self, now: datetime) -> timedelta:
        """How long it took, or takes so far."""
        return max((self.end or now) - self.start, timedelta())


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The phases of a run, in their order. `start` is when it was asked for, `now` when it was looked at."""

    run_id: str
    start: datetime
    phases: tuple[Phase, ...]
    now: datetime

    @property
    def end(self) -> datetime:
        """When the last thing happened; now, while it goes on."""
        return max((phase.end or self.now for phase in self.phases), default=self.start)

    @property
    def total(self) -> timedelta:
        """From submission to the end."""
        return self.end - self.start

    def part(self, part: Part) -> timedelta:
        """How long all phases of a part took."""
        return sum(
            (phase.duration(self.now) for phase in self.phases if phase.part is part), start=timedelta()
        )


def summarize(timeline: Timeline) -> dict[Part, timedelta]:
    """How long each part took, those that took no time left out."""
    return {part: took for part in Part if (took := timeline.part(part))}


def shorten(timeline: Timeline, *, cells: int) -> tuple[list[Phase], int]:
    """The phases with at most so many cells, the slowest, in their order; and how many are left out."""
    ranked = sorted(
        (number for number, phase in enumerate(timeline.phases) if phase.part is Part.NOTEBOOK),
        key=lambda number: timeline.phases[number].duration(timeline.now),
        reverse=True,
    )
    left_out = set(ranked[cells:])
    shown = [phase for number, phase in enumerate(timeline.phases) if number not in left_out]
    return shown, len(left_out)


def to_json(timeline: Timeline) -> dict[str, Any]:
    """The same for programs: durations in seconds, times in UTC."""
    return {
        "run_id": timeline.run_id,
        "start": timeline.start.isoformat(),
        "end": timeline.end.isoformat(),
        "total_s": timeline.total.total_seconds(),
        "phases": [
            {
                "name": phase.name,
                "part": phase.part,
                "start": phase.start.isoformat(),
                "end": phase.end.isoformat() if phase.end else None,
                "duration_s": phase.duration(timeline.now).total_seconds(),
                "detail": phase.detail,
                "failed": phase.failed,
            }
            for phase in timeline.phases
        ],
    }

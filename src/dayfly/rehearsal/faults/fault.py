"""What a fault is, and the moments at which one may happen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dayfly.errors import UsageError
from dayfly.rehearsal.instances import Machine
from dayfly.rehearsal.session import Rehearsal

When = Literal["submit", "boot", "pull", "cell", "end"]
WORDS: dict[When, str] = {
    "submit": "before the run is submitted",
    "boot": "when its machine has been switched on",
    "pull": "when it begins to pull the image",
    "cell": "when a cell has begun",
    "end": "when the last cell has ended",
}
_MOMENT = re.compile(r"(submit|boot|pull|cell|end)(?::([1-9][0-9]{0,3}))?")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a fault happens; `cell` counts executions, from 1, and means something for `cell` alone."""

    when: When
    cell: int = 1

    def __str__(self) -> str:
        return f"cell:{self.cell}" if self.when == "cell" else self.when


def parse_moment(text: str) -> Moment:
    """`boot`, `pull`, `cell:3`, `end`. Raises UsageError for anything else."""
    match = _MOMENT.fullmatch(text)
    if match is None or (match[2] and match[1] != "cell"):
        raise UsageError(
            f"{text!r} is no moment of a run.",
            hint="Name one of: boot, pull, cell:N (its N-th cell has begun), end.",
        )
    return Moment(when=match[1], cell=int(match[2] or 1))  # type: ignore[arg-type] # the pattern says which


@dataclass(frozen=True, kw_only=True)
class Struck:
    """Where a fault happens. `machine` is None for one that happens before there is any."""

    rehearsal: Rehearsal
    machine: Machine | None

    @property
    def the_machine(self) -> Machine:
        """The machine of the run."""
        if self.machine is None:
            raise ValueError("this fault needs a machine")
        return self.machine

    def inside(self, script: str, *, in_background: bool = False) -> str:
        """Run a shell script as root in the machine, and return what it says. Raises EngineError."""
        detach = ["--detach"] if in_background else []
        docker = self.rehearsal.around.docker
        return docker.run(["exec", *detach, self.the_machine.container, "bash", "-euc", script])

    def around(self, *command: str, in_background: bool = False) -> None:
        """Run a command in the container that stands in for AWS. Raises EngineError."""
        detach = ["--detach"] if in_background else []
        self.rehearsal.around.docker.run(["exec", *detach, self.rehearsal.around.container, *command])


Deed = Callable[[Struck], None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    row: int | None
    """Its row in docs/faults.md; None for one that is not there."""
    says: str
    """What happens, in one line."""
    when: tuple[When, ...]
    """When it can happen; by itself it happens at the first."""
    inject: Deed
    prepare: Deed | None = None
    """What the machine needs for it, done when it has been switched on."""
    heal: Deed | None = None
    lasts_s: float | None = None
    """After so many seconds it is healed; None: never."""

    def moment(self, asked: Moment | None = None) -> Moment:
        """When it happens. Raises UsageError where it cannot happen then."""
        moment = asked or Moment(when=self.when[0])
        if moment.when not in self.when:
            raise UsageError(
                f"The fault {self.name} cannot happen {WORDS[moment.when]}.",
                hint=f"It can: {', '.join(f'{one} ({WORDS[one]})' for one in self.when)}.",
            )
        return moment

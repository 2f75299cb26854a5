"""The end: `result.json`, written last. A run without it has not ended, or has lost its runner."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from dayfly.runs.compat import StrEnum
from dayfly.runs.model import Model
from dayfly.runs.state import State


class Reason(StrEnum):
    """Why a run ended as it did, for programs; `Result.message` says it to people."""

    COMPLETED = "completed"
    CELL_FAILED = "cell_failed"
    KERNEL_DIED = "kernel_died"
    KERNEL_MISSING = "kernel_missing"
    KERNEL_NOT_READY = "kernel_not_ready"
    TIMED_OUT = "timed_out"
    CELL_TIMED_OUT = "cell_timed_out"
    STOPPED = "stopped"
    SIGNAL = "signal"
    DISK_FULL = "disk_full"
    SAVE_FAILED = "save_failed"
    RUNNER_FAILED = "runner_failed"
    RUNNER_GONE = "runner_gone"
    NOT_TAKEN_UP = "not_taken_up"
    NO_MACHINE = "no_machine"
    SPOT = "spot"
    BOOT_FAILED = "boot_failed"
    BOOT_TIMED_OUT = "boot_timed_out"
    PULL_FAILED = "pull_failed"
    STORE_DENIED = "store_denied"


class FailedCell(Model):
    """The cell at which a run ended. `number` counts all cells of output.ipynb from 1."""

    number: int
    id: str | None = None
    execution_count: int | None = None
    ename: str = ""
    evalue: str = ""
    traceback: str = ""
    """As Jupyter has it, terminal colours included."""


class CellCounts(Model):
    """How many code cells there are, and how each ended."""

    code: int = 0
    executed: int = 0
    failed: int = 0
    interrupted: int = 0
    not_run: int = 0


class Result(Model):
    """How a run ended. Durations are seconds, times are UTC."""

    version: Literal[1] = 1
    run_id: str
    state: State
    reason: Reason
    message: str
    started: AwareDatetime
    ended: AwareDatetime
    duration_s: float
    cells: CellCounts
    failed_cell: FailedCell | None = None
    warnings: list[str] = Field(default_factory=list)
    records: dict[str, Any] = Field(default_factory=dict)
    """What the notebook recorded, by name: JSON values; NaN and infinity as Python's json writes them."""
    receipt_sha256: str | None = None

"""The states of a run and of a cell, and the errors and exit codes that belong to them."""

from __future__ import annotations

from dayfly import errors
from dayfly.runs.compat import StrEnum


class State(StrEnum):
    """Where a run is. The last seven are ends."""

    REQUESTED = "requested"
    PREPARING = "preparing"
    PROVISIONING = "provisioning"
    BOOTING = "booting"
    PULLING = "pulling"
    RUNNING = "running"
    SAVING = "saving"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    NEVER_STARTED = "never_started"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to a run in this state."""
        return self in _ERRORS or self is State.SUCCEEDED

    @property
    def exit_code(self) -> int:
        """The exit code of a runner or a `dayfly run` that ends in this state."""
        error = self.error
        return error.exit_code if error else 0

    @property
    def error(self) -> type[errors.RunEndedError] | None:
        """The error class of this end, or None for a run that succeeded or goes on."""
        return _ERRORS.get(self)


_ERRORS: dict[State, type[errors.RunEndedError]] = {
    State.FAILED: errors.NotebookFailedError,
    State.TIMED_OUT: errors.NotebookTimedOutError,
    State.CANCELLED: errors.RunCancelledError,
    State.INTERRUPTED: errors.RunInterruptedError,
    State.LOST: errors.RunLostError,
    State.NEVER_STARTED: errors.RunNeverStartedError,
}


class CellState(StrEnum):
    """Where a code cell is. `running` appears in checkpoints only, never in a finished notebook."""

    NOT_RUN = "not_run"
    RUNNING = "running"
    EXECUTED = "executed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

"""Every error dayfly raises on purpose.

A class is an exit code; a message says what happened, why, and what to do next. `cli` prints the
message and exits with the code; everything below `cli` raises.

Exit codes of the command line:

====  ==========================================================
   0  the run succeeded, or the command did what it was asked
   1  any other error
   2  the request is wrong (usage, configuration, notebook, parameters)
   3  there is no such run
   4  the run is in a state in which this cannot be done
   5  the store cannot be read or written
   6  the kernel or the Python environment is missing
   7  the Docker engine cannot be reached, or refuses
   8  the image cannot be made or found
   9  AWS cannot be reached, or refuses
  10  the notebook failed
  11  the notebook timed out
  12  the run was cancelled
  13  the run was interrupted
  14  the run was lost
  15  the run never started
====  ==========================================================
"""

from __future__ import annotations


class DayflyError(Exception):
    """What happened, why, and what to do next.

    `what` is one sentence; `why` and `hint` may be empty and may have several lines.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        """The whole message, as a person reads it."""
        return "\n".join(part for part in (self.what, self.why, self.hint) if part)


class UsageError(DayflyError):
    """The request is wrong; nothing was created."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting in `dayfly.toml`, `pyproject.toml`, the environment or a flag is wrong."""


class NotebookInvalidError(UsageError):
    """The notebook cannot be read as a notebook."""


class ParameterError(UsageError):
    """A parameter is unknown or has the wrong type."""


class SnapshotError(UsageError):
    """The commit or working tree cannot be carried: it is not there, or something in it must not go."""


class RunNotFoundError(DayflyError):
    """No run in the store has this id, or several begin with it."""

    exit_code = 3


class RunConflictError(DayflyError):
    """The run, or a file beside it, is in a state in which this cannot be done."""

    exit_code = 4


class StoreError(DayflyError):
    """The store cannot be read or written."""

    exit_code = 5


class DamagedFileError(StoreError):
    """A file of a run directory is not what its format says."""


class KernelMissingError(DayflyError):
    """The kernel that the notebook names is not installed in the chosen environment."""

    exit_code = 6


class EngineError(DayflyError):
    """The Docker engine cannot be reached, or refused what it was asked."""

    exit_code = 7


class ImageError(DayflyError):
    """The project's image cannot be built, pushed or found, or is of no use to dayfly."""

    exit_code = 8


class AwsError(DayflyError):
    """AWS cannot be reached, or refused a call.

    `code` is AWS's own (`AccessDenied`) or the name of botocore's error, `operation` the API call,
    `message` what AWS said.
    """

    exit_code = 9

    def __init__(  # noqa: PLR0913 -- what is told, and what whoever handles it must know
        self,
        what: str,
        why: str = "",
        hint: str = "",
        *,
        code: str = "",
        operation: str = "",
        message: str = "",
    ) -> None:
        super().__init__(what, why, hint)
        self.code = code
        self.operation = operation
        self.message = message


class MissingExtraError(DayflyError):
    """A command needs an optional part of dayfly that is not installed."""


class RunEndedError(DayflyError):
    """A run ended otherwise than succeeded; raised by `Run.check()`."""


class NotebookFailedError(RunEndedError):
    """A cell raised, or the kernel died."""

    exit_code = 10


class NotebookTimedOutError(RunEndedError):
    """The notebook or one of its cells took longer than it was given."""

    exit_code = 11


class RunCancelledError(RunEndedError):
    """Somebody asked for the end of the run (`dayfly stop`)."""

    exit_code = 12


class RunInterruptedError(RunEndedError):
    """A signal ended the run."""

    exit_code = 13


class RunLostError(RunEndedError):
    """The runner is gone and left no result."""

    exit_code = 14


class RunNeverStartedError(RunEndedError):
    """The run was requested and no runner ever took it up."""

    exit_code = 15

"""What was asked: `request.json`, immutable, created once."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from dayfly.runs.model import Model


class PythonEnvironment(Model):
    """The Python whose kernel runs the notebook, and why it was chosen.

    `executable` and `prefix` are absolute paths; `source` is words for people, such as
    "active virtual environment".
    """

    executable: str
    prefix: str
    source: str


class Request(Model):
    """One run as it was asked for. Durations are seconds, sizes are bytes, times are UTC."""

    version: Literal[1] = 1
    run_id: str
    created: AwareDatetime
    notebook: str
    """The notebook's absolute path, or `-` for standard input."""
    backend: Literal["local"] = "local"
    parameters: dict[str, Any] = Field(default_factory=dict)
    kernel: str
    """The kernelspec's name."""
    kernel_transport: Literal["ipc", "tcp"] = "ipc"
    python: PythonEnvironment
    cwd: str
    outputs: str | None = None
    """A folder, absolute, whose new and changed files are collected besides DAYFLY_OUTPUTS."""
    timeout_s: float | None = None
    cell_timeout_s: float | None = None
    grace_s: float = 10.0
    output_limit_bytes: int = 100 << 20
    allow_errors: bool = False
    output_copy: str | None = None
    """Where the executed notebook is also written when the run has ended, absolute."""
    rerun_of: str | None = None

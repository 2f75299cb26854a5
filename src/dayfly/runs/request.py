"""What was asked: `request.json`, immutable, created once."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from dayfly.runs.machine import MachineSource
from dayfly.runs.model import Model


class PythonEnvironment(Model):
    """The Python whose kernel runs the notebook, and why it was chosen.

    `executable` and `prefix` are absolute paths; `source` is words for people, such as
    "active virtual environment".
    """

    executable: str
    prefix: str
    source: str


class SnapshotSource(Model):
    """The commit that a run is executed in a checkout of.

    `base` is HEAD where the commit was made of a working tree that differed from it (`dirty`).
    """

    commit: str
    tree: str
    base: str | None = None
    branch: str | None = None
    dirty: bool = False
    checkout: str
    """Where it is checked out for the run: absolute, in the container where there is one."""
    notebook: str | None = None
    """The notebook's path in the repository; None for one from elsewhere."""


class ContainerUser(Model):
    """Who a container runs as, in numbers of the host, and what the image calls its own user."""

    uid: int
    gid: int
    name: str
    home: str
    groups: tuple[int, ...] = ()


class ImageSource(Model):
    """The image that a run is executed in. `id` is the engine's own, `key` what the image is made of.

    On a machine, `id` is the name in the image repository with its digest: `…/dayfly/name@sha256:…`.
    """

    tag: str
    id: str
    key: str
    platform: str
    user: ContainerUser


class Request(Model):
    """One run as it was asked for. Durations are seconds, sizes are bytes, times are UTC."""

    version: Literal[1] = 1
    run_id: str
    created: AwareDatetime
    notebook: str
    """The notebook's absolute path, or `-` for standard input."""
    backend: Literal["local", "docker", "ec2", "batch"] = "local"
    snapshot: SnapshotSource | None = None
    """None when the notebook runs in the working tree."""
    image: ImageSource | None = None
    machine: MachineSource | None = None
    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: str | None = None
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

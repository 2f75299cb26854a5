"""What a user asks for beside the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dayfly.runner.notebook import Notebook

STANDARD_INPUT = "-"
BackendName = Literal["local", "docker", "ec2", "batch"]
"""`batch` is for sweeps only."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A run as a user asks for it."""

    notebook: str
    """A path, or `-` for standard input."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    allow_unknown: bool = False
    output_copy: str | None = None
    rerun_of: str | None = None
    content: bytes | None = None
    """The notebook itself, when it is not to be read from the path."""
    backend: BackendName = "local"
    commit: str | None = None
    """Run this commit, whatever the working tree holds."""
    dirty: bool = False
    """Run the working tree as it is, as a commit of its own."""
    on_dirty: Callable[[list[str]], bool] | None = None
    """Asked with the files that differ from HEAD when neither is given: carry them, or run HEAD?"""
    echo: Callable[[str], None] = lambda _: None
    """Hears what takes time before the run exists, such as the build of its image, line by line."""
    look_at: Callable[[Notebook], None] = lambda _: None
    """Takes the notebook once it is read and before anything is made for it; may raise UsageError."""
    token: str | None = None
    """Two submissions with one token are one run."""
    ssh_cidr: str = ""
    """Who may reach port 22 of the machine, as an address range; empty: nobody."""

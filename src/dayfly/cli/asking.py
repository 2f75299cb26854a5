"""What `dayfly run` settles with the user before a run exists."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from dayfly.cli.text import to_stderr
from dayfly.errors import UsageError

if TYPE_CHECKING:
    from dayfly.backends.asked import BackendName

_SHOWN = 10


def backend_name(on: str, *, detach: bool, output: str | None) -> BackendName:
    """The backend that `--on` names, if it can do what else was asked. Raises UsageError."""
    if on == "local":
        return "local"
    if on not in {"docker", "ec2"}:
        raise UsageError(
            f"There is no backend {on!r}.",
            why="This version of dayfly runs notebooks on: local, docker, ec2.",
        )
    if detach and output is not None:
        raise UsageError(
            "--detach with --output is for runs on local.",
            why="A container cannot write outside of its run directory.",
            hint="Fetch the notebook when the run has ended: dayfly fetch RUN",
        )
    return "docker" if on == "docker" else "ec2"


def ask_about_changes() -> Callable[[list[str]], bool] | None:
    """The question whether changes are to be carried, where somebody can answer it; else None."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(changed: list[str]) -> bool:
        files = "1 file" if len(changed) == 1 else f"{len(changed)} files"
        to_stderr(f"The working tree differs from the last commit in {files}:")
        for name in changed[:_SHOWN]:
            to_stderr(f"  {name}")
        if len(changed) > _SHOWN:
            to_stderr(f"  and {len(changed) - _SHOWN} more")
        answer = typer.prompt(
            "Run the working tree as it is [d], the last commit [h], or nothing [n]?",
            default="n",
            show_default=False,
            err=True,
        )
        choice = str(answer).strip().lower()[:1]
        if choice not in {"d", "h"}:
            raise typer.Abort
        return choice == "d"

    return ask


def build_echo(*, quiet: bool) -> Callable[[str], None]:
    """Shows what takes time before the run exists, on stderr."""
    return (lambda _: None) if quiet else to_stderr

"""`dayfly mirror`: the project's code in CodeCommit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dayfly.cli.text import to_stderr


def mirror(
    check: Annotated[
        bool, typer.Option("--check", help="Only see whether the mirror has the current commit.")
    ] = False,
) -> None:
    """Push the current branch to the mirror in CodeCommit, and see that it is there.

    The mirror is a Git remote called `dayfly`, with its own credential helper in this repository.
    """
    from dayfly.aws.account import aws_project_name, open_project_aws
    from dayfly.aws.base import load_base
    from dayfly.aws.mirror import REMOTE, compare_mirror, load_mirror, push_branch, set_up_remote
    from dayfly.errors import SnapshotError
    from dayfly.project.load import load_project

    project = load_project(Path.cwd(), os.environ, only=("aws",))
    aws = open_project_aws(project)
    found = load_mirror(aws, load_base(aws, aws_project_name(project)))
    folder = project.root or Path.cwd()
    if not check:
        if set_up_remote(found, folder, os.environ):
            to_stderr(f"Set the remote {REMOTE} to {found.url}")
        branch = push_branch(folder, os.environ)
        to_stderr(f"Pushed {branch}.")
    state = compare_mirror(aws, found, folder, os.environ)
    if not state.up_to_date:
        raise SnapshotError(
            f"The mirror does not have the current commit of {state.branch}.",
            why=f"Here it is {state.commit[:12]}; there it is {state.there[:12] or 'no commit yet'}.",
            hint="Push it with: dayfly mirror",
        )
    typer.echo(f"{state.branch} is at {state.commit[:12]} in {found.repository}")

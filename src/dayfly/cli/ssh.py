"""`dayfly ssh`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dayfly.cli.options import StoreOption, find_run, open_aws_of_project
from dayfly.errors import DayflyError, RunConflictError, RunNotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dayfly.aws.client import Aws
    from dayfly.aws.session import Target
    from dayfly.aws.stacks import Stack


def ssh(
    name: Annotated[
        str, typer.Argument(metavar="RUN", help="A run on a machine, or an id of `dayfly machines`.")
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="Run this there, in place of a shell."),
    ] = None,
    config: Annotated[bool, typer.Option("--config", help="Print the lines for ~/.ssh/config.")] = False,
    identity: Annotated[
        Path | None,
        typer.Option("--identity", "-i", metavar="FILE", help="The private key. Default: as ssh finds it."),
    ] = None,
    ssm: Annotated[
        bool, typer.Option("--ssm", help="Through Systems Manager, also where SSH is open.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Log in to a machine: through Systems Manager, or by SSH where it was started with `--ssh`."""
    from dayfly.aws.session import config_lines, find_target, ssh_argv, ssm_argv
    from dayfly.runner.directories import cache_directory

    aws, stack, machine_id = _find(name, store)
    target = find_target(aws, stack, machine_id)
    known_hosts = cache_directory(os.environ) / "known_hosts"
    if config:
        for line in config_lines(target, known_hosts=known_hosts, identity=identity):
            typer.echo(line)
        return
    if target.address and not ssm:
        argv = ssh_argv(target, command or [], known_hosts=known_hosts, identity=identity)
    else:
        argv = ssm_argv(target, command or [])
    check_programs(target, by_ssh=argv[0] == "ssh", which=shutil.which)
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    os.execvp(argv[0], argv)  # noqa: S606 -- a list, no shell: from here on this is that program


def _find(name: str, store: str | None) -> tuple[Aws, Stack, str]:
    """The stack of the machine that is meant: a run's, or one that no run has."""
    from dayfly.aws.machine_facts import load_record
    from dayfly.aws.stacks import find_stack
    from dayfly.cli.machines import find_machine_of_project

    try:
        run = find_run(name, store)
    except RunNotFoundError:
        found = find_machine_of_project(name) if name != "last" and store is None else None
        if found is None:
            raise
        aws, stack_id, machine_id = found[0], found[1].stack_id, found[1].machine_id
    else:
        record = load_record(run)
        if record is None:
            raise RunConflictError(
                f"The run {run.run_id} has no machine.",
                hint=f"See where it ran with: dayfly show {run.run_id}",
            )
        aws, stack_id, machine_id = open_aws_of_project(), record.stack_id, run.run_id
    stack = find_stack(aws, stack_id) if stack_id else None
    if stack is None:
        raise RunConflictError(f"The machine of {machine_id} is gone, and its stack with it.")
    return aws, stack, machine_id


def check_programs(target: Target, *, by_ssh: bool, which: Callable[[str], str | None]) -> None:
    """Raise an error that says where to get a program that is missing. `which` finds one on PATH."""
    from dayfly.aws.session import CLI_PAGE, PLUGIN, PLUGIN_PAGE

    if by_ssh:
        if which("ssh") is None:
            raise UsageError("There is no ssh on this machine.", hint="Install OpenSSH, or use: --ssm")
        return
    for program, what, page in (
        ("aws", "The AWS CLI", CLI_PAGE),
        (PLUGIN, "AWS's Session Manager plugin", PLUGIN_PAGE),
    ):
        if which(program) is None:
            raise DayflyError(
                f"{what} is not installed ({program}).",
                why=f"Sessions with {target.instance_id} go through Systems Manager, which needs it.",
                hint=f"Install it as AWS describes: {page}",
            )

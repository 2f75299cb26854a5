"""The project's place in AWS, as commands need it: account, base stack, bucket; and who asks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from dayfly.cli.text import to_stderr
from dayfly.errors import AwsError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dayfly.aws.base import BaseStack
    from dayfly.aws.client import Aws
    from dayfly.aws.tasks import TaskRequest
    from dayfly.project.load import Project
    from dayfly.runs.machine import MachineSource
    from dayfly.runs.store import Store

_NO_AWS = frozenset({"NoRegionError", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"})


@dataclass(frozen=True, kw_only=True)
class CloudPlace:
    """Where a project is in AWS."""

    aws: Aws
    base: BaseStack
    store: Store


def open_place(project: Project) -> CloudPlace:
    """The project's place in AWS. Raises AwsError when there is none, or it cannot be reached."""
    from dayfly.aws.account import aws_project_name, open_project_aws
    from dayfly.aws.base import load_base
    from dayfly.backends.stores import open_bucket

    aws = open_project_aws(project)
    base = load_base(aws, aws_project_name(project))
    store = open_bucket(base.bucket, profile=aws.profile, region=aws.region)
    return CloudPlace(aws=aws, base=base, store=store)


def find_place(project: Project) -> CloudPlace | None:
    """The same; None where nobody has set AWS up: no boto3, no credentials, or no base stack."""
    from dayfly.aws.account import aws_project_name, open_project_aws
    from dayfly.aws.base import find_base

    try:
        aws = open_project_aws(project)
        found = find_base(aws, aws_project_name(project))
    except MissingExtraError:
        return None
    except AwsError as error:
        if error.code in _NO_AWS:
            return None
        raise
    return open_place(project) if found is not None else None


def agree(machine: MachineSource, *, yes: bool) -> None:
    """Where it is unknown what a machine costs, somebody must say yes. Raises UsageError where nobody can."""
    if machine.price_per_hour is None:
        what = f"What a {machine.instance_type} costs is unknown: AWS's price list could not be read."
        agree_unpriced(what, "Make it nevertheless", yes=yes)


def agree_unpriced(what: str, go_on: str, *, yes: bool) -> None:
    """Somebody must say yes to what has no known price. Raises UsageError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(what, hint=f"{go_on} with: --yes")
    to_stderr(what)
    typer.confirm(f"{go_on}?", abort=True, err=True)


def machine_lines(request: TaskRequest, why: str) -> list[tuple[str, str]]:
    """What a machine is, until when it lives, and what it costs at most."""
    from dayfly.cli.plan import describe_cost
    from dayfly.cli.text import describe_deadline, format_size

    machine = request.machine
    return [
        ("machine", why),
        ("where", f"{machine.region}, {format_size(machine.disk_gib << 30)} disk, {machine.ami}"),
        ("gone by", describe_deadline(machine.deadline, request.created)),
        ("cost", describe_cost(request)),
    ]


def print_lines(lines: Iterable[tuple[str, str]], *, err: bool = False) -> None:
    """Names and what they mean, one a line."""
    for name, value in lines:
        typer.echo(f"{name:<10} {value}", err=err)

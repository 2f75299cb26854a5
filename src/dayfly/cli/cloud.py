"""`dayfly cloud`: the project's own corner of AWS, set up, looked after and taken down."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dayfly.cli.options import JsonOption
from dayfly.cli.text import to_stderr

if TYPE_CHECKING:
    from dayfly.aws.base_parameters import BaseOptions
    from dayfly.aws.base_plan import BasePlan
    from dayfly.aws.client import Aws
    from dayfly.aws.extras import Extras
    from dayfly.project.load import Project

cloud = typer.Typer(no_args_is_help=True, help="Set up, look after and take down what machines in AWS need.")

ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="The AWS profile.", show_default=False)
]
RegionOption = Annotated[
    str | None, typer.Option("--region", metavar="NAME", help="The AWS region.", show_default=False)
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
NetworkOption = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="default|create|SUBNET",
        help="The account's default VPC, a small one of its own, or subnets (ids, commas between).",
        show_default=False,
    ),
]
MirrorOption = Annotated[
    str | None,
    typer.Option(
        "--mirror",
        metavar="codecommit|none",
        help="A CodeCommit repository that mirrors the code.",
        show_default=False,
    ),
]
SshKeyOption = Annotated[
    str | None,
    typer.Option(
        "--ssh-key", metavar="FILE", help="A public key for SSH to machines; or none.", show_default=False
    ),
]
ElasticIpOption = Annotated[
    bool | None,
    typer.Option("--elastic-ip/--no-elastic-ip", help="A fixed address for SSH.", show_default=False),
]
BoundaryOption = Annotated[
    str | None,
    typer.Option(
        "--permissions-boundary",
        metavar="ARN",
        help="A policy that bounds every role; or none.",
        show_default=False,
    ),
]
BatchOption = Annotated[
    bool | None,
    typer.Option(
        "--batch/--no-batch", help="What sweeps on AWS Batch need; free while none runs.", show_default=False
    ),
]
BatchTypesOption = Annotated[
    str | None,
    typer.Option(
        "--batch-types",
        metavar="TYPES",
        help="Families or types of instances for sweeps, with commas between.",
        show_default=False,
    ),
]
BatchMaxOption = Annotated[
    int | None,
    typer.Option(
        "--batch-max-vcpus",
        min=1,
        max=10_000,
        help="Processors that sweeps may have at once.",
        show_default=False,
    ),
]
NotebookPolicyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--notebook-policy",
        metavar="ARN",
        help="What notebooks with AWS access may do; several times; or none.",
        show_default=False,
    ),
]
TopicOption = Annotated[
    str | None,
    typer.Option(
        "--notify-topic",
        metavar="ARN",
        help="An SNS topic that is told of each end; or none.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The project, its AWS, and what it is called there."""

    project: Project
    aws: Aws
    name: str


def _open(profile: str | None, region: str | None) -> _Place:
    from dayfly.aws.account import aws_project_name, open_project_aws
    from dayfly.project.load import load_project

    project = load_project(Path.cwd(), os.environ, only=("aws",))
    aws = open_project_aws(project, profile=profile, region=region)
    return _Place(project=project, aws=aws, name=aws_project_name(project))


def _options(
    network: str | None,
    mirror: str | None,
    ssh_key: str | None,
    elastic_ip: bool | None,
    boundary: str | None,
    notebook_policy: list[str] | None,
    topic: str | None,
) -> BaseOptions:
    from dayfly.aws.base_parameters import NONE, BaseOptions, read_public_key
    from dayfly.errors import UsageError

    if mirror not in {None, "codecommit", NONE}:
        raise UsageError(f"--mirror cannot be {mirror!r}.", why="It must be codecommit or none.")
    key = ssh_key if ssh_key in {None, NONE} else read_public_key(Path(str(ssh_key)).expanduser())
    return BaseOptions(
        network=network,
        mirror=None if mirror is None else mirror == "codecommit",
        ssh_public_key=key,
        elastic_ip=elastic_ip,
        permissions_boundary=boundary,
        notebook_policies=",".join(notebook_policy) if notebook_policy else None,
        notify_topic=topic,
    )


def _extras(aws: Aws) -> Extras:
    from dayfly.aws.cache import open_cache
    from dayfly.aws.extras import load_extras

    return load_extras(aws, open_cache(aws, os.environ))


def _plan(place: _Place, options: BaseOptions, extras: Extras) -> BasePlan:
    from dayfly.aws.base_plan import plan_base
    from dayfly.aws.identity import load_identity

    identity = load_identity(place.aws)
    return plan_base(place.aws, project=place.name, identity=identity, options=options, extras=extras)


@cloud.command()
def plan(
    profile: ProfileOption = None,
    region: RegionOption = None,
    network: NetworkOption = None,
    mirror: MirrorOption = None,
    ssh_key: SshKeyOption = None,
    elastic_ip: ElasticIpOption = None,
    permissions_boundary: BoundaryOption = None,
    notebook_policy: NotebookPolicyOption = None,
    notify_topic: TopicOption = None,
    batch: BatchOption = None,
    batch_types: BatchTypesOption = None,
    batch_max_vcpus: BatchMaxOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what would be made: each thing with its why, its permissions, and what it costs idle."""
    from dayfly.cli.cloud_tables import draw_plan, open_console

    asked = replace(
        _options(network, mirror, ssh_key, elastic_ip, permissions_boundary, notebook_policy, notify_topic),
        batch=batch,
        batch_types=batch_types,
        batch_max_vcpus=batch_max_vcpus,
    )
    place = _open(profile, region)
    extras = _extras(place.aws)
    found = _plan(place, asked, extras)
    if as_json:
        _print_json(_plan_facts(found))
        return
    draw_plan(open_console(), found, extras)
    to_stderr()
    if found.action == "update" and not found.changed:
        to_stderr("Nothing was changed. Bring it up to date, where it is not: dayfly cloud up")
        return
    to_stderr("Nothing was made. Make it with: dayfly cloud up, and the same options")


@cloud.command()
def up(
    profile: ProfileOption = None,
    region: RegionOption = None,
    network: NetworkOption = None,
    mirror: MirrorOption = None,
    ssh_key: SshKeyOption = None,
    elastic_ip: ElasticIpOption = None,
    permissions_boundary: BoundaryOption = None,
    notebook_policy: NotebookPolicyOption = None,
    notify_topic: TopicOption = None,
    batch: BatchOption = None,
    batch_types: BatchTypesOption = None,
    batch_max_vcpus: BatchMaxOption = None,
    iam_user: Annotated[
        str | None,
        typer.Option(
            "--iam-user",
            metavar="NAME",
            help="Make an IAM user who may submit runs, and a profile of that name with its key.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and make nothing.")] = False,
    yes: YesOption = False,
) -> None:
    """Make the base stack, or bring it up to date. What is not given again stays as it is."""
    from dayfly.cli.cloud_up import make_user, set_up

    if iam_user is not None:
        from dayfly.aws.iam_user import check_user_name, require_aws_cli

        check_user_name(iam_user)
        require_aws_cli()
    if dry_run:
        plan(
            profile,
            region,
            network,
            mirror,
            ssh_key,
            elastic_ip,
            permissions_boundary,
            notebook_policy,
            notify_topic,
            batch,
            batch_types,
            batch_max_vcpus,
        )
        return
    asked = replace(
        _options(network, mirror, ssh_key, elastic_ip, permissions_boundary, notebook_policy, notify_topic),
        batch=batch,
        batch_types=batch_types,
        batch_max_vcpus=batch_max_vcpus,
    )
    place = _open(profile, region)
    extras = _extras(place.aws)
    set_up(place.aws, place.project, lambda: _plan(place, asked, extras), extras, profile=profile, yes=yes)
    if iam_user is not None:
        make_user(place.aws, place.name, iam_user, yes=yes)


@cloud.command()
def status(
    profile: ProfileOption = None,
    region: RegionOption = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="Let CloudFormation compare it with its template: a minute.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what stands, what it costs while idle, and which machines and sweeps on AWS Batch live."""
    from dayfly.aws.base import find_base
    from dayfly.aws.base_status import load_status
    from dayfly.cli.cloud_tables import draw_status, open_console

    place = _open(profile, region)
    base = find_base(place.aws, place.name)
    if base is None:
        if as_json:
            _print_json(None)
        else:
            to_stderr(f"There is no base stack of {place.name} in {place.aws.region}.")
            to_stderr("See what would be made with: dayfly cloud plan")
        return
    found = load_status(place.aws, base, _extras(place.aws), drift=drift)
    if as_json:
        _print_json(asdict(found))
    else:
        draw_status(open_console(), found)


@cloud.command()
def policy(
    who: Annotated[
        Literal["admin", "user", "batch-admin", "batch-user"],
        typer.Argument(
            help="Of who sets up (admin), or of who submits runs (user); batch-…: what they need besides for "
            "sweeps on AWS Batch."
        ),
    ],
    profile: ProfileOption = None,
    region: RegionOption = None,
) -> None:
    """Print the exact IAM policy, for this account, region and project."""
    from dayfly.aws.identity import load_identity
    from dayfly.aws.policies import admin_policy, user_policy
    from dayfly.aws.policy_batch import batch_admin_policy, batch_user_policy

    make = {
        "admin": admin_policy,
        "user": user_policy,
        "batch-admin": batch_admin_policy,
        "batch-user": batch_user_policy,
    }[who]
    place = _open(profile, region)
    document = make(place.name, load_identity(place.aws).account, place.aws.region)
    typer.echo(json.dumps(document, indent=2))


@cloud.command()
def doctor(profile: ProfileOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Check everything that a run on a machine needs, and say what mends it."""
    from dayfly.cli.cloud_doctor import examine_all
    from dayfly.cli.cloud_tables import draw_findings, open_console

    place = _open(profile, region)
    findings = examine_all(place.aws, place.name)
    if as_json:
        _print_json([asdict(one) for one in findings])
    else:
        draw_findings(open_console(), findings)
    if any(one.verdict == "wrong" for one in findings):
        raise typer.Exit(1)


@cloud.command()
def reap(
    profile: ProfileOption = None,
    region: RegionOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be ended.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End whatever of this project is past its deadline. Asks nothing: fit for cron."""
    from dayfly.cli.cloud_reap import reap_all

    place = _open(profile, region)
    if not reap_all(place.aws, place.project, place.name, dry_run=dry_run, as_json=as_json):
        raise typer.Exit(1)


@cloud.command()
def down(
    profile: ProfileOption = None,
    region: RegionOption = None,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete all runs and images as well. There is no way back.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="End machines that still live.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, and delete nothing.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Take the base stack down. Runs and images stay, unless --delete-data."""
    from dayfly.cli.cloud_down import take_down

    place = _open(profile, region)
    take_down(place.aws, place.name, delete_data=delete_data, force=force, dry_run=dry_run, yes=yes)


def _plan_facts(found: BasePlan) -> dict[str, Any]:
    facts = asdict(found)
    del facts["template"]
    return {**facts, "monthly": found.monthly}


def _print_json(value: Any) -> None:
    """Dollars are text, as money is exact; times are ISO."""
    json.dump(value, sys.stdout, indent=1, default=str, ensure_ascii=False)
    sys.stdout.write("\n")

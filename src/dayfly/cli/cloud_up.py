"""`dayfly cloud up`: what is shown and asked on the way."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dayfly.cli.text import safe_text, to_stderr
from dayfly.errors import UsageError

if TYPE_CHECKING:
    from dayfly.aws.base_apply import ChangeSet
    from dayfly.aws.base_plan import BasePlan
    from dayfly.aws.client import Aws
    from dayfly.aws.extras import Extras
    from dayfly.project.load import Project


def agree(question: str, *, yes: bool) -> bool:
    """Ask, unless `yes`. Raises UsageError where nobody can answer."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("Nobody is here to be asked.", hint="Say --yes, when you have seen the plan.")
    return typer.confirm(question, err=True)


def set_up(
    aws: Aws,
    project: Project,
    make_plan: Callable[[], BasePlan],
    extras: Extras,
    *,
    profile: str | None,
    yes: bool,
) -> None:
    """Make the base stack or bring it up to date, and write into the project's file where it is."""
    from dayfly.aws.base import load_base
    from dayfly.aws.base_up import Dialogue, bring_up
    from dayfly.aws.template import Scope, load_template
    from dayfly.cli.cloud_live import follow_stack
    from dayfly.cli.cloud_tables import draw_changes, draw_plan, open_console

    console, plans = open_console(), []

    def plan_and_keep() -> BasePlan:
        plans.append(make_plan())
        return plans[-1]

    def agree_to_plan(plan: BasePlan) -> bool:
        draw_plan(console, plan, extras)
        return agree(f"Make this in account {plan.account}, {plan.region}?", yes=yes)

    def agree_to_changes(plan: BasePlan, change: ChangeSet) -> bool:
        draw_changes(console, plan, change)
        return agree(f"Change it in account {plan.account}, {plan.region}?", yes=yes)

    scope = Scope(template=load_template("base"), values=plan_and_keep().parameters)
    with follow_stack(scope.dependencies()) as event:
        dialogue = Dialogue(
            agree_to_plan=agree_to_plan, agree_to_changes=agree_to_changes, tell=to_stderr, on_event=event
        )
        try:
            outcome = bring_up(aws, plan_and_keep, dialogue)
        except KeyboardInterrupt:
            to_stderr("CloudFormation goes on with what it has begun. Come back to it with: dayfly cloud up")
            raise
    if not outcome.agreed:
        to_stderr("Nothing was changed.")
        raise typer.Exit(1)
    base = load_base(aws, plans[-1].project)
    state = "is ready" if outcome.changed else "is as it should be"
    to_stderr(f"The base stack {plans[-1].stack_name} {state}.")
    _write_settings(
        project, {"region": aws.region, "project": base.project, "bucket": base.bucket}, profile=profile
    )


def _write_settings(project: Project, values: dict[str, str], *, profile: str | None) -> None:
    """A profile is somebody's own, so it is written only when it was given to be used."""
    from dayfly.project.edit import edit_table

    wanted = {**({"profile": profile} if profile else {}), **values}
    written = edit_table(project.file, Path.cwd(), "aws", wanted)
    if written is not None:
        to_stderr(f"Wrote [aws] {', '.join(wanted)} into {written.name}: commit it, it is for everybody.")


def make_user(aws: Aws, project: str, name: str, *, yes: bool) -> None:
    """An IAM user with the policy of who submits runs, and its key in a profile of that name."""
    from dayfly.aws.iam_user import create_key, ensure_user, store_key
    from dayfly.aws.identity import load_identity
    from dayfly.aws.policies import user_policy

    document = json.dumps(user_policy(project, load_identity(aws).account, aws.region))
    to_stderr()
    to_stderr(f"IAM user {name}: may submit runs of {project} in {aws.region}, see dayfly cloud policy user.")
    has_profile = name in aws.session.available_profiles
    if has_profile:
        to_stderr(f"There is a profile {name} already, so no key is made.")
    else:
        to_stderr(f"A long-lived key is made for it, and stored by aws configure in the profile {name}.")
        to_stderr("Where you can log in by SSO or assume a role, do that instead.")
    if not agree(f"Make the user {name}?", yes=yes):
        to_stderr("No user was made.")
        raise typer.Exit(1)
    arn = ensure_user(
        aws, project=project, name=name, policy_name=f"dayfly-{project}-{aws.region}-user", document=document
    )
    to_stderr(f"The user {safe_text(arn)} has the policy.")
    if not has_profile:
        store_key(aws, create_key(aws, name), os.environ)
        to_stderr(f"Its key is in the profile {name}. Use it with: --profile {name}, or AWS_PROFILE={name}")

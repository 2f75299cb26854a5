"""The base stack as it would be: every resource with its why, its permissions and its price while idle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from dayfly.aws.base import TEMPLATE_VERSION
from dayfly.aws.base_parameters import BaseOptions, plan_parameters
from dayfly.aws.base_words import KEPT_TYPES, KINDS, NAME_PROPERTIES, WHY
from dayfly.aws.estimates import HOURS_A_MONTH
from dayfly.aws.extras import Extras
from dayfly.aws.names import PROJECT_TAG, base_stack_name
from dayfly.aws.stacks import Stack, find_stack
from dayfly.aws.template import Scope, load_template
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.aws.identity import Identity

Action = Literal["create", "replace", "update", "follow"]
"""`replace`: what is left of a failed attempt goes first. `follow`: somebody is changing it just now."""

REMAINS = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}
"""A stack in one of these can only be deleted."""


@dataclass(frozen=True, kw_only=True)
class Permission:
    """One statement of a policy: what is allowed, on what."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PlannedResource:
    """One resource of the base stack. `monthly` is dollars while idle, None when the price is unknown."""

    logical_id: str
    type: str
    kind: str
    """The type in words."""
    name: str
    why: str
    policies: tuple[str, ...] = ()
    """Of a role: the policies beside its own, by logical id or ARN."""
    permissions: tuple[Permission, ...] = ()
    monthly: Decimal | None = Decimal(0)
    keeps: bool = False
    """Whether what is kept in it is paid as well."""


@dataclass(frozen=True, kw_only=True)
class BasePlan:
    """What `dayfly cloud up` would do. Nothing of it is done yet."""

    project: str
    region: str
    account: str
    caller: str
    action: Action
    stack_name: str
    stack: Stack | None
    """The one that is there."""
    parameters: Mapping[str, str]
    changed: Mapping[str, tuple[str, str]]
    """Of a stack that is there: parameters that become others, old and new."""
    resources: tuple[PlannedResource, ...]
    template: str

    @property
    def monthly(self) -> Decimal | None:
        """Dollars a month while nothing runs and nothing is kept; None when a price is unknown."""
        prices = [one.monthly for one in self.resources]
        return None if None in prices else sum((one for one in prices if one is not None), Decimal(0))


def plan_base(
    aws: Aws, *, project: str, identity: Identity, options: BaseOptions, extras: Extras
) -> BasePlan:
    """What the base stack would be with these options. Reads AWS, changes nothing.

    Raises UsageError for options that cannot be, AwsError where AWS or a stack stands in the way.
    """
    name = base_stack_name(project)
    stack = find_stack(aws, name)
    action = _action(stack, project)
    kept = stack if action in {"update", "follow"} else None
    template = load_template("base")
    parameters = plan_parameters(aws, project=project, account=identity.account, options=options, stack=kept)
    parameters = {**template.defaults(), **{k: v for k, v in parameters.items() if k in template.parameters}}
    before = kept.parameters if kept is not None else parameters
    pseudo = {
        "AWS::Region": aws.region,
        "AWS::AccountId": identity.account,
        "AWS::Partition": identity.partition,
        "AWS::StackName": name,
        "AWS::URLSuffix": "amazonaws.com",
    }
    return BasePlan(
        project=project,
        region=aws.region,
        account=identity.account,
        caller=identity.arn,
        action=action,
        stack_name=name,
        stack=stack,
        parameters=parameters,
        changed={
            key: (before.get(key, ""), value)
            for key, value in parameters.items()
            if before.get(key, "") != value
        },
        resources=plan_resources(Scope(template=template, values={**pseudo, **parameters}), extras),
        template=template.body,
    )


def _action(stack: Stack | None, project: str) -> Action:
    if stack is None or stack.status == "REVIEW_IN_PROGRESS":
        return "create"
    if stack.tags.get(PROJECT_TAG) != project:
        raise AwsError(
            f"There is a stack {stack.name} already, and it is not this project's.",
            why=f"It does not bear the tag {PROJECT_TAG}={project}, so dayfly leaves it alone.",
            hint='Name the project otherwise in dayfly.toml: [aws] project = "name"',
        )
    version = int(stack.outputs.get("Version", "0"))
    if version > TEMPLATE_VERSION:
        raise AwsError(
            f"The base stack {stack.name} is of version {version}.",
            why=f"A newer dayfly has set it up; this one makes version {TEMPLATE_VERSION}.",
            hint="Bring this dayfly up to date.",
        )
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        raise AwsError(
            f"The base stack {stack.name} is stuck: {stack.status}.",
            why=stack.reason,
            hint="Mend what AWS names, then: "
            f"aws cloudformation continue-update-rollback --stack-name {stack.name}",
        )
    if stack.busy:
        return "follow"
    return "replace" if stack.status in REMAINS else "update"


def plan_resources(scope: Scope, extras: Extras) -> tuple[PlannedResource, ...]:
    """The resources of a template with the values of `scope`, in the template's order."""
    known = Scope(template=scope.template, values={**_names(scope), **scope.values})
    return tuple(_resource(known, extras, name, one) for name, one in known.resources())


def _names(scope: Scope) -> dict[str, str]:
    """What `!Ref Role` and `!GetAtt Role.Arn` will be, for those that are given their names."""
    names = {name: _own_name(scope, one.get("Properties", {})) for name, one in scope.resources()}
    arn = f"arn:{scope.values['AWS::Partition']}:iam::{scope.values['AWS::AccountId']}:role/"
    arns = {
        f"{name}.Arn": arn + names[name] for name, one in scope.resources() if one["Type"] == "AWS::IAM::Role"
    }
    policies = {name for name, one in scope.resources() if one["Type"] == "AWS::IAM::ManagedPolicy"}
    return {**{name: text for name, text in names.items() if text and name not in policies}, **arns}


def _own_name(scope: Scope, properties: Mapping[str, Any]) -> str:
    return next((scope.text(properties[key]) for key in NAME_PROPERTIES if key in properties), "")


def _resource(scope: Scope, extras: Extras, name: str, one: Mapping[str, Any]) -> PlannedResource:
    kind, properties = one["Type"], one.get("Properties", {})
    monthly: Decimal | None = Decimal(0)
    if kind == "AWS::EC2::EIP":
        hourly = extras.address_per_hour
        monthly = None if hourly is None else hourly * HOURS_A_MONTH
    return PlannedResource(
        logical_id=name,
        type=kind,
        kind=KINDS.get(kind, kind.removeprefix("AWS::").replace("::", " ")),
        name=_own_name(scope, properties),
        why=WHY.get(name, ""),
        policies=tuple(arn.strip("<>") for arn in scope.texts(properties.get("ManagedPolicyArns", []))),
        permissions=_permissions(scope, properties),
        monthly=monthly,
        keeps=kind in KEPT_TYPES,
    )


def _permissions(scope: Scope, properties: Mapping[str, Any]) -> tuple[Permission, ...]:
    """What a policy, or a role by its own ones, allows. Policies of resources allow to whom they name."""
    documents = [one["PolicyDocument"] for one in scope.items(properties.get("Policies", []))]
    if "ManagedPolicyName" in properties:
        documents.append(properties["PolicyDocument"])
    return tuple(
        Permission(
            actions=tuple(scope.texts(statement["Action"])),
            resources=tuple(scope.texts(statement["Resource"])),
        )
        for document in documents
        for statement in scope.items(document["Statement"])
        if statement["Effect"] == "Allow"
    )

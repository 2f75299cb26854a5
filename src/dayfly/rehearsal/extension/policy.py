"""What policies are asked: the ARNs and condition keys that ministack gets wrong, and asking ourselves.

ARN forms and condition keys are those of https://docs.aws.amazon.com/service-authorization/latest/reference/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import ec2, iam, tagging

from . import batch

Context = dict[str, Any]
_EC2_KINDS = {
    "i": "instance",
    "vol": "volume",
    "sg": "security-group",
    "lt": "launch-template",
    "subnet": "subnet",
    "vpc": "vpc",
    "eipalloc": "elastic-ip",
    "key": "key-pair",
    "eni": "network-interface",
    "igw": "internet-gateway",
    "rtb": "route-table",
}


def install() -> None:
    """Correct what ministack asks."""
    from ministack.core.responses import get_account_id, get_region

    original = iam_actions.extract_resource_arn

    def resource_arn(  # noqa: PLR0913, PLR0917 -- ministack's signature
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        parameters: dict[str, Any],
        region: str,
        account: str,
    ) -> str:
        corrected = _arn(service, path, body, parameters, region, account)
        return corrected or str(original(service, method, path, headers, body, parameters, region, account))

    iam_actions.extract_resource_arn = resource_arn
    iam_actions.request_tag_context = _with_more_context(iam_actions.request_tag_context)

    def ec2_tags() -> Iterator[tuple[str, list[dict[str, str]]]]:
        for identifier, tags in list(ec2._tags.items()):
            kind = _EC2_KINDS.get(identifier.partition("-")[0])
            if kind:
                yield f"arn:aws:ec2:{get_region()}:{get_account_id()}:{kind}/{identifier}", tags

    tagging._RESOURCE_TAG_COLLECTORS["ec2"] = ec2_tags
    tagging._RESOURCE_TAG_COLLECTORS["batch"] = batch.tagged


def _arn(  # noqa: C901, PLR0911, PLR0913, PLR0917 -- one case a service
    service: str, path: str, body: bytes, parameters: dict[str, Any], region: str, account: str
) -> str | None:
    """The ARN where ministack has none or another than AWS; else None."""
    here = f"{region}:{account}"
    if service == "scheduler" and path.startswith("/schedules/"):
        group = _json(body).get("GroupName") or _first(parameters, "groupName") or "default"
        return f"arn:aws:scheduler:{here}:schedule/{group}/{path.rpartition('/')[2]}"
    if service == "iam" and (name := _first(parameters, "InstanceProfileName")):
        return f"arn:aws:iam::{account}:instance-profile/{name}"
    of_another = any(_first(parameters, one) for one in ("RoleName", "UserName", "GroupName", "PolicyArn"))
    if service == "iam" and (name := _first(parameters, "PolicyName")) and not of_another:
        return f"arn:aws:iam::{account}:policy/{name}"
    if service == "logs":
        asked = _json(body)
        if (group := asked.get("logGroupName")) and (stream := asked.get("logStreamName")):
            return f"arn:aws:logs:{here}:log-group:{group}:log-stream:{stream}"
        if group:
            return f"arn:aws:logs:{here}:log-group:{group}:*"
    if service == "ssm":
        asked = _json(body)
        names = asked.get("Names") or [asked.get("Name") or ""]
        if str(names[0]).startswith("/aws/service/"):
            return f"arn:aws:ssm:{region}::parameter{names[0]}"
        if asked.get("Names"):
            return f"arn:aws:ssm:{here}:parameter/{str(names[0]).lstrip('/')}"
    if service == "batch":
        return batch.resource(path, _json(body), here)
    if service == "codecommit" and (repository := _json(body).get("repositoryName")):
        return f"arn:aws:codecommit:{here}:{repository}"
    if service == "servicequotas" and (code := _json(body).get("QuotaCode")):
        return f"arn:aws:servicequotas:{here}:{_json(body)['ServiceCode']}/{code}"
    return None


def _with_more_context(original: Any) -> Any:
    """`iam:PermissionsBoundary`, `cloudformation:RoleArn`, and EC2's tags in TagSpecifications."""

    def context(service: str, action: str, body: bytes, parameters: dict[str, Any]) -> Context:
        found: Context = dict(original(service, action, body, parameters))
        if service == "iam" and (boundary := _first(parameters, "PermissionsBoundary")):
            found["iam:PermissionsBoundary"] = boundary
        elif service == "iam":
            bounded = (iam._roles.get(_first(parameters, "RoleName")) or {}).get("PermissionsBoundary")
            found |= {"iam:PermissionsBoundary": bounded} if bounded else {}
        if service == "cloudformation" and (given := _first(parameters, "RoleARN")):
            found["cloudformation:RoleArn"] = given
        if service == "batch":
            container = _json(body).get("containerProperties") or {}
            found |= {
                f"batch:{name}": str(container[name]) for name in ("image", "user") if name in container
            }
            if "privileged" in container:
                found["batch:privileged"] = str(container["privileged"]).lower()
            found |= request_tags(_json(body).get("tags") or {})
        if service == "ec2":
            tags = {
                _first(parameters, name): _first(parameters, f"{name.removesuffix('.Key')}.Value")
                for name in parameters
                if name.endswith(".Key") and "Tag." in name
            }
            found |= request_tags(tags)
        return found

    return context


def request_tags(tags: dict[str, str]) -> Context:
    """The condition keys of tags that a request sets."""
    if not tags:
        return {}
    return {f"aws:requesttag/{key}".lower(): value for key, value in tags.items()} | {
        "aws:tagkeys": list(tags)
    }


def allows(principal: str, action: str, resource: str, context: Context | None = None) -> bool:
    """Whether the policies and boundary of a role, an assumed role or a user allow an action; root may all.

    `resource` may be the ARN of something with tags, which conditions then see.
    """
    account = principal.split(":")[4]
    if principal.endswith(":root"):
        return True
    name = principal.split("/")[1] if ":assumed-role/" in principal else principal.rpartition("/")[2]
    is_user = ":user/" in principal
    gather = iam_evaluator._gather_user_policies if is_user else iam_evaluator._gather_role_policies
    store = iam._users if is_user else iam._roles
    keys = {key.lower(): value for key, value in (context or {}).items()}
    for key, value in (tagging.resource_tags(resource) or {}).items():
        keys.setdefault(f"aws:resourcetag/{key}".lower(), value)
    keys.setdefault("aws:tagkeys", None)
    asked = iam_evaluator.EvalContext(
        principal_arn=principal,
        principal_type="User" if is_user else "AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=resource.split(":")[3] if resource.count(":") > 3 else "",  # noqa: PLR2004
        service_context=keys,
    )
    limits = iam_evaluator._permissions_boundary(store, name, account)
    return bool(iam_evaluator.evaluate(asked, gather(name, account), *limits).decision == "Allow")


def trusts(role_arn: str, service: str, context: Context) -> bool:
    """Whether a role lets a service (`scheduler.amazonaws.com`) assume it, under these condition keys."""
    role = iam._roles.get(role_arn.rpartition("/")[2])
    if role is None:
        return False
    document = role["AssumeRolePolicyDocument"]
    said = json.loads(document) if isinstance(document, str) else document
    asked = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=role_arn.split(":")[4],
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region="",
        service_context={key.lower(): value for key, value in context.items()},
    )
    return any(
        statement["Effect"] == "Allow"
        and service in _listed(statement.get("Principal", {}).get("Service", []))
        and "sts:AssumeRole" in _listed(statement.get("Action", []))
        and iam_evaluator._conditions_met(statement.get("Condition", {}), asked)
        for statement in _listed(said["Statement"])
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _first(parameters: dict[str, Any], name: str) -> str:
    value = parameters.get(name, "")
    return str(value[0]) if isinstance(value, list) and value else str(value or "")


def _json(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}

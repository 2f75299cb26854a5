"""Ask a policy document what it allows: as much of IAM's logic as our documents use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from dayfly.aws.template import load_template
from scripts.policy_documents import ACCOUNT, PARAMETERS, PROJECT, REGION, all_documents, base_documents

Document = Mapping[str, Any]
PREFIX = f"dayfly-{PROJECT}"
BUCKET = f"arn:aws:s3:::dayfly-{PROJECT}-{ACCOUNT}-{REGION}"
REPOSITORY = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/dayfly/{PROJECT}"
STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/"
MACHINE_STACK = f"{STACK}{PREFIX}--20261123-101502-analysis-7f3a/9e4f"
TAGGED = {"aws:ResourceTag/dayfly:project": PROJECT, "ssm:resourceTag/dayfly:project": PROJECT}


def document(name: str, **parameters: str) -> Document:
    """A document of base.yaml or of people, by name; `parameters` differ from scripts.policy_documents."""
    if parameters:
        return dict(base_documents({**PARAMETERS, **parameters}))[name]
    return all_documents()[name]


def role(name: str, **parameters: str) -> Document:
    """All that a role of base.yaml may do: its own document and those attached to it."""
    properties = load_template("base").document["Resources"][f"{name}Role"]["Properties"]
    attached = re.findall(r"'Ref': '(\w+Policy)'", str(properties.get("ManagedPolicyArns", "")))
    names = sorted(set(attached)) + ([f"{name}Role"] if "Policies" in properties else [])
    return {"Statement": [one for part in names for one in document(part, **parameters)["Statement"]]}


def ec2(resource: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:{resource}"


def iam(resource: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:{resource}"


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(document: Document) -> list[str]:
    return [action for one in document["Statement"] for action in many(one["Action"])]


def allows(document: Document, action: str, resource: str, **context: str) -> bool:
    """Whether a statement allows it, in this context (keys as IAM has them). Our roles have no Deny."""
    assert all(one["Effect"] == "Allow" for one in document["Statement"])
    return any(
        any(_matches(pattern, action) for pattern in many(one["Action"]))
        and any(_matches(pattern, resource) for pattern in many(one["Resource"]))
        and _holds(one.get("Condition", {}), context)
        for one in document["Statement"]
    )


def mentions(document: Document, action: str) -> bool:
    """Whether a statement allows it on anything at all."""
    return any(_matches(pattern, action) for pattern in actions(document))


def _matches(pattern: str, value: str) -> bool:
    form = "".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in re.split(r"([*?])", pattern))
    return re.fullmatch(form, value, re.IGNORECASE if ":" in value and "/" not in value else 0) is not None


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    for operator, keys in condition.items():
        name = operator.removesuffix("IfExists")
        assert name in {"StringEquals", "StringLike", "ArnEquals", "ArnLike", "Bool"}, operator
        for key, wanted in keys.items():
            if key not in context:
                if name == operator:
                    return False
                continue
            exact = name in {"StringEquals", "Bool"}
            if not any(one == context[key] if exact else _matches(one, context[key]) for one in many(wanted)):
                return False
    return True


@cache
def handlers(resource_type: str) -> Mapping[str, frozenset[str]]:
    """The actions that CloudFormation's handlers of a resource type need, by AWS's public schema of it."""
    schemas = files("cfnlint") / "data" / "schemas"
    index = json.loads((schemas / "providers" / "us-east-1.json").read_text(encoding="utf-8"))
    schema = json.loads((schemas / "resources" / f"{index[resource_type]}.json").read_text(encoding="utf-8"))
    return {name: frozenset(one["permissions"]) for name, one in schema["handlers"].items()}

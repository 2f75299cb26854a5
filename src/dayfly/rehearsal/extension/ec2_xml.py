"""Answers of EC2's API, written by botocore's own description of them."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import botocore.session
from ministack.services import ec2

from .world import Answer


@cache
def _operation(name: str) -> Any:
    return botocore.session.Session().get_service_model("ec2").operation_model(name)


def answer(operation: str, said: dict[str, Any]) -> Answer:
    """A success of `operation`; `said` is what boto3 is to return. What it does not know is left out."""
    inner = members(_operation(operation).output_shape, said)
    made: Answer = ec2._xml(200, f"{operation}Response", inner)
    return made


def element(operation: str, member: str, said: dict[str, Any]) -> str:
    """One element of a list in the answer of `operation`, for those that put many together."""
    shape = _operation(operation).output_shape.members[member].member
    return f"<item>{members(shape, said)}</item>"


def list_name(operation: str, member: str) -> str:
    """What the XML calls a list of the answer."""
    shape = _operation(operation).output_shape.members[member]
    return str(shape.serialization.get("name", member))


def members(shape: Any, said: dict[str, Any]) -> str:
    """The inside of a structure."""
    return "".join(
        _written(member, member.serialization.get("name", name), said[name])
        for name, member in shape.members.items()
        if said.get(name) is not None
    )


def _written(shape: Any, name: str, value: Any) -> str:
    if shape.type_name == "structure":
        inner = members(shape, value)
    elif shape.type_name == "list":
        inner = "".join(_written(shape.member, "item", one) for one in value)
    elif isinstance(value, bool):
        inner = str(value).lower()
    elif isinstance(value, datetime):
        inner = value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


def parameter(parameters: dict[str, Any], name: str, default: str = "") -> str:
    """One value of a call."""
    return str(ec2._p(parameters, name, default) or default)


def listed(parameters: dict[str, Any], name: str) -> list[str]:
    """`InstanceType.1`, `InstanceType.2`, … of a call."""
    return [str(one) for one in ec2._parse_member_list(parameters, name)]


def filters(parameters: dict[str, Any]) -> dict[str, list[str]]:
    """The call's filters: name → values."""
    return dict(ec2._parse_filters(parameters))


def page(
    parameters: dict[str, Any], everything: list[Any], largest: int = 1000
) -> tuple[list[Any], str | None]:
    """The page that is asked for, and the token of the next."""
    begin = int(parameter(parameters, "NextToken", "0"))
    size = min(int(parameter(parameters, "MaxResults", str(largest))), largest)
    end = begin + size
    return everything[begin:end], str(end) if end < len(everything) else None

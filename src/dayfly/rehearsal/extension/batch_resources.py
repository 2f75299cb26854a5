"""The types of AWS Batch in a template: the properties of each, as Batch's own API has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import batch as tables
from ministack.services.cloudformation import provisioners

from . import batch

Properties = dict[str, Any]
Made = tuple[str, dict[str, str]]
_KEPT = {"tags", "options"}


def install() -> None:
    """Register them with ministack's CloudFormation."""
    for name, create, delete in (
        (
            "ComputeEnvironment",
            _make("/v1/createcomputeenvironment", "computeEnvironmentArn"),
            _environment_gone,
        ),
        ("JobQueue", _make("/v1/createjobqueue", "jobQueueArn"), _queue_gone),
        ("JobDefinition", _make("/v1/registerjobdefinition", "jobDefinitionArn"), _definition_gone),
    ):
        provisioners._RESOURCE_HANDLERS[f"AWS::Batch::{name}"] = {"create": create, "delete": delete}


def as_api(value: Any, name: str = "") -> Any:
    """`ComputeResources` → `computeResources`, all the way down, but for names that somebody chose."""
    if isinstance(value, list):
        return [as_api(one) for one in value]
    if not isinstance(value, dict):
        return value
    if name in _KEPT:
        return {key: str(one) for key, one in value.items()}
    return {_lower(key): as_api(one, _lower(key)) for key, one in value.items()}


def _lower(key: str) -> str:
    return key[:1].lower() + key[1:]


def _make(path: str, arn: str) -> Callable[[str, Properties, str], Made]:
    def create(_logical_id: str, properties: Properties, _stack: str) -> Made:
        body = as_api(properties)
        for name in ("timeout", "retryStrategy"):
            if name in body:
                body[name] = {
                    key: int(one) if str(one).isdecimal() else one for key, one in body[name].items()
                }
        status, _, content = tables._DISPATCH[path](body)
        if status != 200:  # noqa: PLR2004
            raise ValueError(content.decode())
        made = str(json.loads(content)[arn])
        return made, {arn[:1].upper() + arn[1:]: made}

    return create


def _environment_gone(arn: str, _properties: Properties) -> None:
    tables._compute_envs.pop(arn.rpartition("/")[2], None)


def _queue_gone(arn: str, _properties: Properties) -> None:
    tables._job_queues.pop(arn.rpartition("/")[2], None)


def _definition_gone(arn: str, _properties: Properties) -> None:
    batch._deregister({"jobDefinition": arn})

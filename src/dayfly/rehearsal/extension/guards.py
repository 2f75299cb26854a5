"""What AWS refuses, and ministack would do."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, scheduler
from ministack.services.cloudformation import _stacks, engine, handlers, helpers

from . import policy
from . import scheduler as schedules
from .dispatch import Call, add_guard, json_error, refuse
from .world import WORLD, Answer

_BEGINNING = ("CreateStack", "UpdateStack", "CreateChangeSet")
_PSEUDO = re.compile(r"AWS::\w+")
_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


def install() -> None:
    """Put the guards before ministack."""
    policy.install()
    engine._parse_template = handlers._parse_template = _parsed_once(engine._parse_template)
    for guard in (_template, _name_taken, _stack_role, _schedule, _each_parameter, _each_instance):
        add_guard(guard)


# ---- CloudFormation


def _parsed_once(original: Callable[[str], dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    """Reading a template takes longer than making what it describes."""
    parse = lru_cache(maxsize=32)(original)
    return lambda body: copy.deepcopy(parse(body))


def _template(call: Call) -> Answer | None:  # noqa: PLR0911 -- one a mistake
    """References lead somewhere, and parameters are the template's (API_CreateStack.html)."""
    body = call.parameter("TemplateBody")
    if call.service != "cloudformation" or not body:
        return None
    try:
        template = engine._parse_template(body)
    except Exception:  # noqa: BLE001 -- ministack says what is wrong with it
        return None
    known = set(template.get("Parameters") or {}) | set(template.get("Resources") or {})
    missing = sorted({one for one in _references(template.get("Resources") or {}) if one not in known})
    if missing:
        said = (
            f"Unresolved resource dependencies [{', '.join(missing)}] in the Resources block of the template"
        )
        return refuse(call, "ValidationError", f"Template format error: {said}")
    if call.operation not in _BEGINNING:
        return None
    given = {one["Key"] for one in helpers._extract_members(call.parameters, "Parameters") if "Key" in one}
    declared: dict[str, Any] = template.get("Parameters") or {}
    if unknown := sorted(given - set(declared)):
        return refuse(
            call, "ValidationError", f"Parameters: [{', '.join(unknown)}] do not exist in the template"
        )
    needed = [name for name, one in declared.items() if "Default" not in one and name not in given]
    if needed:
        return refuse(call, "ValidationError", f"Parameters: [{', '.join(needed)}] must have values")
    return None


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for one in node:
            yield from _references(one)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "Ref" and isinstance(value, str) and not _PSEUDO.match(value):
            yield value
        elif key == "Fn::GetAtt":
            yield str(value[0] if isinstance(value, list) else value).partition(".")[0]
        elif key == "Fn::Sub":
            text, own = value if isinstance(value, list) else (value, {})
            yield from (
                name.partition(".")[0]
                for name in _VARIABLE.findall(text)
                if not _PSEUDO.match(name) and name not in own
            )
            yield from _references(own)
        else:
            yield from _references(value)


def _name_taken(call: Call) -> Answer | None:
    """A stack that was rolled back keeps its name until it is deleted (ministack lets it be made again)."""
    if call.action != "cloudformation:CreateStack":
        return None
    name = call.parameter("StackName")
    if (stack := _stacks.get(name)) and stack["StackStatus"] == "ROLLBACK_COMPLETE":
        return refuse(call, "AlreadyExistsException", f"Stack [{name}] already exists")
    return None


def _stack_role(call: Call) -> Answer | None:
    """Who gives CloudFormation a role must be allowed to pass it, and CloudFormation to assume it.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
    """
    role = call.parameter("RoleARN")
    if call.service != "cloudformation" or not role:
        return None
    service = "cloudformation.amazonaws.com"
    if refused := call.denied("iam:PassRole", role, {"iam:PassedToService": service}):
        return refused
    if not policy.trusts(role, service, {"aws:SourceAccount": get_account_id()}):
        return refuse(call, "ValidationError", f"Role {role} is invalid or cannot be assumed")
    return None


# ---- EventBridge Scheduler


def _schedule(call: Call) -> Answer | None:
    """What CreateSchedule refuses (API_CreateSchedule.html), PassRole and the role's trust among it."""
    if call.action not in ("scheduler:CreateSchedule", "scheduler:UpdateSchedule"):
        return None
    asked = call.json()
    role = asked.get("Target", {}).get("RoleArn", "")
    service = "scheduler.amazonaws.com"
    if refused := call.denied(call.action, call.resource) or call.denied(
        "iam:PassRole", role, {"iam:PassedToService": service}
    ):
        return refused
    group = asked.get("GroupName") or "default"
    source = f"arn:aws:scheduler:{get_region()}:{get_account_id()}:schedule-group/{group}"
    if not policy.trusts(role, service, {"aws:SourceAccount": get_account_id(), "aws:SourceArn": source}):
        said = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        return json_error("ValidationException", said)
    expression = asked.get("ScheduleExpression", "")
    if not schedules.is_valid(expression):
        return json_error("ValidationException", f"Invalid Schedule Expression {expression}.")
    return _schedule_dates(asked)


def _schedule_dates(asked: dict[str, Any]) -> Answer | None:
    start, end = scheduler._to_epoch(asked.get("StartDate")), scheduler._to_epoch(asked.get("EndDate"))
    if start is not None and start < WORLD.now() - 300:
        said = "The StartDate you specify cannot be earlier than 5 minutes ago."
        return json_error("ValidationException", said)
    if end is not None and end < WORLD.now():
        return json_error("ValidationException", "The EndDate you specify cannot be in the past.")
    if start is not None and end is not None and end <= start:
        return json_error("ValidationException", "The EndDate must be later than the StartDate.")
    return _universal_input(asked.get("Target", {}))


def _universal_input(target: dict[str, Any]) -> Answer | None:
    if ":aws-sdk:" not in target.get("Arn", ""):
        return None
    try:
        json.loads(target.get("Input") or "{}")
    except ValueError:
        return json_error("ValidationException", "Invalid Input for target: it must be JSON.")
    return None


# ---- each resource of a call that names several; ministack asks for the first alone


def _each_parameter(call: Call) -> Answer | None:
    if call.action != "ssm:GetParameters":
        return None
    for name in call.json().get("Names", [])[1:]:
        account = "" if name.startswith("/aws/service/") else get_account_id()
        arn = f"arn:aws:ssm:{get_region()}:{account}:parameter/{name.lstrip('/')}"
        if refused := call.denied(call.action, arn):
            return refused
    return None


def _each_instance(call: Call) -> Answer | None:
    if call.service != "ec2" or not call.parameter("InstanceId.2"):
        return None
    number = 2
    while name := call.parameter(f"InstanceId.{number}"):
        arn = f"arn:aws:ec2:{get_region()}:{get_account_id()}:instance/{name}"
        if not call.operation.startswith("Describe") and (refused := call.denied(call.action, arn)):
            return refused
        number += 1
    return None


def profile_role(profile: str) -> str | None:
    """The ARN of an instance profile's role; None when there is no such profile or it has none."""
    found = iam._instance_profiles.get(profile)
    roles = found["Roles"] if found else []
    role = iam._roles.get(roles[0]) if roles else None
    return str(role["Arn"]) if role else None

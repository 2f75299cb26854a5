"""What CloudFormation itself is allowed to do: with the role it was given, else with its caller's rights.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html: with a service role
"CloudFormation uses the role's credentials", without one those of the caller; and "for all future operations"
on a stack it uses the role that the stack was made with. The actions of each resource type are those of its
public schema (`handlers.permissions`), as far as machine stacks have such types; other types are not asked
here: the policy of who sets up is held to those schemas by tests of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudformation, ec2
from ministack.services.cloudformation import handlers, helpers, stacks

from . import guards, instances, policy
from .dispatch import Call, add_guard
from .world import Answer

Right = tuple[str, str, dict[str, Any]]
"""Action, ARN, condition keys."""
Properties = dict[str, Any]
_WHO: list[str] = []
"""Who asked for the CloudFormation call that is being carried out."""


def install() -> None:
    """Ask before each resource is made or deleted, and keep what a stack was made with."""
    add_guard(_remember)
    add_guard(_token)
    for operation in ("CreateStack", "UpdateStack", "DeleteStack", "CreateChangeSet", "ExecuteChangeSet"):
        handlers._ACTION_HANDLERS[operation] = _acting(handlers._ACTION_HANDLERS[operation])
    handlers._ACTION_HANDLERS["DescribeStacks"] = _describe_stacks(
        handlers._ACTION_HANDLERS["DescribeStacks"]
    )
    stacks._provision_resource = _provision(stacks._provision_resource)
    stacks._delete_resource = _delete(stacks._delete_resource)


def _remember(call: Call) -> Answer | None:
    if call.service == "cloudformation":
        _WHO[:] = [call.caller]
    return None


def _parameter(parameters: dict[str, Any], name: str) -> str:
    value = parameters.get(name, "")
    return str(value[0] if isinstance(value, list) and value else value or "")


@dataclass
class _Made:
    """What a stack was made with, which later operations on it go on using."""

    role: str = ""
    who: str = ""
    token: str = ""


_MADE: dict[str, _Made] = {}
"""By stack id."""


def _token(call: Call) -> Answer | None:
    """The same ClientRequestToken begins one stack (API_CreateStack.html); asking again gives the same id."""
    token = call.parameter("ClientRequestToken")
    if call.action != "cloudformation:CreateStack" or not token:
        return None
    stack = cloudformation._stacks.get(call.parameter("StackName"))
    if stack is None or _MADE.get(stack["StackId"], _Made()).token != token:
        return None
    if refused := call.denied(call.action, call.resource):
        return refused
    said = f"<CreateStackResult><StackId>{stack['StackId']}</StackId></CreateStackResult>"
    answer: Answer = helpers._xml(200, "CreateStackResponse", said)
    return answer


def _acting(original: Callable[[Any], Answer]) -> Callable[[Any], Answer]:
    """Whose rights the operation has: the role's that is given now or was given before, else the caller's."""

    def act(parameters: Any) -> Answer:
        change_set = cloudformation._change_sets.get(_parameter(parameters, "ChangeSetName")) or {}
        name = _parameter(parameters, "StackName") or change_set.get("StackId", "")
        before = handlers._resolve_stack(name)
        if before is not None:  # its tasks may begin before the answer is there
            _note(before["StackId"], parameters)
        answer = original(parameters)
        made = handlers._resolve_stack(name)
        if made is not None and (before is None or made["StackId"] != before["StackId"]):
            _note(made["StackId"], parameters)
            _MADE[made["StackId"]].token = _parameter(parameters, "ClientRequestToken")
        return answer

    return act


def _note(stack_id: str, parameters: Any) -> None:
    known = _MADE.setdefault(stack_id, _Made())
    known.role = _parameter(parameters, "RoleARN") or known.role
    known.who = known.role or _WHO[0]


def _describe_stacks(original: Callable[[Any], Answer]) -> Callable[[Any], Answer]:
    """RoleARN, which ministack leaves out."""

    def describe(parameters: Any) -> Answer:
        status, headers, body = original(parameters)
        text = body.decode() if hasattr(body, "decode") else str(body)
        for stack in cloudformation._stacks.values():
            if role := _MADE.get(stack["StackId"], _Made()).role:
                named = f"<StackId>{stack['StackId']}</StackId>"
                text = text.replace(named, f"{named}<RoleARN>{role}</RoleARN>")
        return status, headers, text.encode()

    return describe


def _provision(original: Callable[..., Any]) -> Callable[..., Any]:
    def provision(kind: str, logical_id: str, properties: Properties, stack_name: str) -> Any:
        _check(stack_name, _rights_to_make(kind, properties))
        return original(kind, logical_id, properties, stack_name)

    return provision


def _delete(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete(
        kind: str, physical_id: str, properties: Properties, stack_name: str = "", logical_id: str = ""
    ) -> Any:
        _check(stack_name, _rights_to_delete(kind, physical_id, properties))
        return original(kind, physical_id, properties, stack_name, logical_id)

    return delete


def _check(stack_name: str, rights: list[Right]) -> None:
    stack = cloudformation._stacks.get(stack_name) or {}
    who = _MADE.get(stack.get("StackId", ""), _Made()).who or f"arn:aws:iam::{get_account_id()}:root"
    for action, resource, context in rights:
        if not policy.allows(who, action, resource, context):
            acting = who.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/AWSCloudFormation"
            raise ValueError(
                f'Resource handler returned message: "User: {acting} is not authorized to perform: {action} '
                f"on resource: {resource} because no identity-based policy allows the {action} action "
                '(Service: Ec2, Status Code: 403)" (HandlerErrorCode: AccessDenied)'
            )


def _ec2_arn(kind: str) -> str:
    return f"arn:aws:ec2:{get_region()}:{get_account_id()}:{kind}"


def _tag_rights(kind: str, tags: dict[str, str], by: str) -> list[Right]:
    """Tags that are set by the call that makes a thing need ec2:CreateTags, in that call."""
    if not tags:
        return []
    return [("ec2:CreateTags", _ec2_arn(kind), policy.request_tags(tags) | {"ec2:CreateAction": by})]


def _tags(listed: Any) -> dict[str, str]:
    """What CloudFormation sets itself (`aws:…`) needs no right."""
    if isinstance(listed, dict):  # as types of AWS Batch have them
        return {key: str(value) for key, value in listed.items()}
    return {one["Key"]: one["Value"] for one in listed or [] if not one["Key"].startswith("aws:")}


def _rights_to_make(kind: str, properties: Properties) -> list[Right]:
    tags = _tags(properties.get("Tags"))
    match kind:
        case "AWS::EC2::Instance":
            return _rights_to_launch(properties, tags)
        case "AWS::EC2::SecurityGroup":
            made = _ec2_arn("security-group/*")
            rights: list[Right] = [
                ("ec2:CreateSecurityGroup", made, policy.request_tags(tags)),
                (
                    "ec2:CreateSecurityGroup",
                    _ec2_arn(f"vpc/{properties.get('VpcId', ec2._DEFAULT_VPC_ID)}"),
                    {},
                ),
                *_tag_rights("security-group/*", tags, "CreateSecurityGroup"),
            ]
            own: dict[str, Any] = {f"aws:resourcetag/{key}".lower(): value for key, value in tags.items()}
            if properties.get("SecurityGroupIngress"):
                rights.append(("ec2:AuthorizeSecurityGroupIngress", made, own))
            if properties.get("SecurityGroupEgress"):
                rights.append(("ec2:AuthorizeSecurityGroupEgress", made, own))
                rights.append(("ec2:RevokeSecurityGroupEgress", made, own))
            return rights
        case "AWS::EC2::LaunchTemplate":
            specs = properties.get("TagSpecifications") or []
            tags = {key: value for spec in specs for key, value in _tags(spec["Tags"]).items()}
            made = _ec2_arn("launch-template/*")
            rights = [("ec2:CreateLaunchTemplate", made, policy.request_tags(tags))]
            return rights + _tag_rights("launch-template/*", tags, "CreateLaunchTemplate")
        case "AWS::EC2::EIPAssociation":
            address, instance = properties["AllocationId"], properties["InstanceId"]
            named = (f"elastic-ip/{address}", f"instance/{instance}", "network-interface/*")
            return [("ec2:AssociateAddress", _ec2_arn(one), {}) for one in named]
    return []


def _rights_to_launch(properties: Properties, tags: dict[str, str]) -> list[Right]:
    """RunInstances asks for each thing that it makes or uses, with keys that tell of it."""
    asked = instances.with_template(properties)
    propagates = str(properties.get("PropagateTagsToVolumeOnCreation", "false")).lower() == "true"
    subnet = ec2._subnets.get(str(asked.get("SubnetId"))) or {}
    network = {"ec2:Vpc": _ec2_arn(f"vpc/{subnet.get('VpcId', ec2._DEFAULT_VPC_ID)}")}
    own = policy.request_tags(tags)
    used: list[tuple[str, dict[str, Any]]] = [
        ("instance/*", own | _instance_keys(asked)),
        ("volume/*", _volume_keys(asked) | (own if propagates else {})),
        ("network-interface/*", network),
        *((f"security-group/{group}", network) for group in asked.get("SecurityGroupIds") or []),
    ]
    if subnet:
        used.append((f"subnet/{subnet['SubnetId']}", network))
    if template := (properties.get("LaunchTemplate") or {}).get("LaunchTemplateId"):
        used.append((f"launch-template/{template}", {}))
    if key := asked.get("KeyName"):
        used.append((f"key-pair/{key}", {}))
    if _is_spot(asked):
        used.append(("spot-instances-request/*", {}))
    rights: list[Right] = [("ec2:RunInstances", _ec2_arn(kind), context) for kind, context in used]
    image = f"arn:aws:ec2:{get_region()}::image/{asked.get('ImageId', '*')}"
    rights.append(("ec2:RunInstances", image, {}))
    rights += _tag_rights("instance/*", tags, "RunInstances")
    rights += _tag_rights("volume/*", tags, "RunInstances") if propagates else []
    role = guards.profile_role(str(asked.get("IamInstanceProfile") or ""))
    if role is not None:
        rights.append(("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}))
    return rights


def _is_spot(asked: Properties) -> bool:
    return bool((asked.get("InstanceMarketOptions") or {}).get("MarketType") == "spot")


def _instance_keys(asked: Properties) -> dict[str, Any]:
    metadata = asked.get("MetadataOptions") or {}
    profile = asked.get("IamInstanceProfile")
    return {
        "ec2:InstanceType": str(asked.get("InstanceType", "")),
        "ec2:InstanceMarketType": "spot" if _is_spot(asked) else "on-demand",
        "ec2:MetadataHttpTokens": str(metadata.get("HttpTokens", "optional")),
        "ec2:MetadataHttpEndpoint": str(metadata.get("HttpEndpoint", "enabled")),
        "ec2:MetadataHttpPutResponseHopLimit": str(metadata.get("HttpPutResponseHopLimit", 1)),
        "ec2:InstanceProfile": f"arn:aws:iam::{get_account_id()}:instance-profile/{profile}",
    }


def _volume_keys(asked: Properties) -> dict[str, Any]:
    disk = (asked.get("BlockDeviceMappings") or [{}])[0].get("Ebs", {})
    return {
        "ec2:Encrypted": str(disk.get("Encrypted", "false")).lower(),
        "ec2:VolumeSize": str(disk.get("VolumeSize", 8)),
        "ec2:VolumeType": str(disk.get("VolumeType", "gp3")),
    }


def _rights_to_delete(kind: str, physical_id: str, properties: Properties) -> list[Right]:
    match kind:
        case "AWS::EC2::Instance":
            return [("ec2:TerminateInstances", _ec2_arn(f"instance/{physical_id}"), {})]
        case "AWS::EC2::SecurityGroup":
            return [("ec2:DeleteSecurityGroup", _ec2_arn(f"security-group/{physical_id}"), {})]
        case "AWS::EC2::LaunchTemplate":
            return [("ec2:DeleteLaunchTemplate", _ec2_arn(f"launch-template/{physical_id}"), {})]
        case "AWS::EC2::EIPAssociation":
            return [("ec2:DisassociateAddress", _ec2_arn(f"elastic-ip/{properties['AllocationId']}"), {})]
    return []

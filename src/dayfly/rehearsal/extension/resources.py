"""Resource types that ministack's CloudFormation lacks, and placeholders for what only keeps properties."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from .world import WORLD

Properties = dict[str, Any]
Made = tuple[str, dict[str, str]]

PLACEHOLDERS = ("AWS::Budgets::Budget",)
"""Nothing stands behind these but their properties: `GET /_dayfly/placeholders`."""


def install() -> None:
    """Register them with ministack's CloudFormation."""
    types: dict[str, tuple[Callable[..., Made], Callable[..., None]]] = {
        "AWS::EC2::EIP": (_address_create, _address_delete),
        "AWS::EC2::EIPAssociation": (_association_create, _association_delete),
        "AWS::EC2::KeyPair": (_key_create, _key_delete),
        "AWS::EC2::SecurityGroupIngress": (_rule_create("IpPermissions"), _rule_delete("IpPermissions")),
        "AWS::EC2::SecurityGroupEgress": (
            _rule_create("IpPermissionsEgress"),
            _rule_delete("IpPermissionsEgress"),
        ),
    }
    for name in PLACEHOLDERS:
        types[name] = (_placeholder(name), _placeholder_delete)
    for name, (create, delete) in types.items():
        if name not in provisioners._RESOURCE_HANDLERS:
            provisioners._RESOURCE_HANDLERS[name] = {"create": create, "delete": delete}
    for name in ("AWS::EC2::EIP", "AWS::EC2::KeyPair"):
        provisioners._STACK_TAG_PROPERTY.setdefault(name, ("Tags", "list"))


def _address_create(_logical_id: str, properties: Properties, _stack: str) -> Made:
    """`Ref` is the address, AllocationId an attribute (aws-resource-ec2-eip.html)."""
    ec2._ensure_defaults_initialized()
    ec2._allocate_address({"Domain": ["vpc"]})
    address = list(ec2._addresses.values())[-1]
    allocation = str(address["AllocationId"])
    ec2._tags[allocation] = list(properties.get("Tags") or [])
    if properties.get("InstanceId"):
        ec2._associate_address({"AllocationId": [allocation], "InstanceId": [properties["InstanceId"]]})
    return str(address["PublicIp"]), {"AllocationId": allocation, "PublicIp": str(address["PublicIp"])}


def _address_delete(address: str, _properties: Properties) -> None:
    for allocation, one in list(ec2._addresses.items()):
        if one["PublicIp"] == address:
            if one["AssociationId"]:
                raise ValueError(f"The address {address} is in use and may not be released.")
            del ec2._addresses[allocation]


def _association_create(_logical_id: str, properties: Properties, _stack: str) -> Made:
    """An address moves to the instance (aws-resource-ec2-eipassociation.html)."""
    allocation, instance = properties.get("AllocationId", ""), properties.get("InstanceId", "")
    if allocation not in ec2._addresses:
        raise ValueError(f"The allocation ID '{allocation}' does not exist")
    if instance not in ec2._instances:
        raise ValueError(f"The instance ID '{instance}' does not exist")
    ec2._associate_address({"AllocationId": [allocation], "InstanceId": [instance]})
    address = ec2._addresses[allocation]
    ec2._instances[instance]["PublicIpAddress"] = address["PublicIp"]
    return str(address["AssociationId"]), {"Id": str(address["AssociationId"])}


def _association_delete(association: str, _properties: Properties) -> None:
    ec2._disassociate_address({"AssociationId": [association]})


def _key_create(_logical_id: str, properties: Properties, _stack: str) -> Made:
    """With PublicKeyMaterial it is imported (aws-resource-ec2-keypair.html); `Ref` is its name."""
    name = str(properties["KeyName"])
    if name in ec2._key_pairs:
        raise ValueError(f"The keypair already exists: {name}")
    material = str(properties.get("PublicKeyMaterial", ""))
    answer = ec2._import_key_pair(
        {"KeyName": [name], "PublicKeyMaterial": [base64.b64encode(material.encode()).decode()]}
    )
    if answer[0] != 200:  # noqa: PLR2004
        raise ValueError(answer[2].decode())
    record = ec2._key_pairs[name]
    record["PublicKey"] = material
    identifier = str(record.get("KeyPairId", f"key-{new_uuid().replace('-', '')[:17]}"))
    ec2._tags[identifier] = list(properties.get("Tags") or [])
    fingerprint = hashlib.sha256(material.encode()).hexdigest()[:32]
    return name, {"KeyPairId": identifier, "KeyFingerprint": str(record.get("KeyFingerprint", fingerprint))}


def _key_delete(name: str, _properties: Properties) -> None:
    ec2._key_pairs.pop(name, None)


def _rule_create(side: str) -> Callable[[str, Properties, str], Made]:
    def create(_logical_id: str, properties: Properties, _stack: str) -> Made:
        group = ec2._security_groups.get(properties["GroupId"])
        if group is None:
            raise ValueError(f"The security group '{properties['GroupId']}' does not exist")
        group[side].extend(provisioners._ec2_sg_permissions([properties]))
        identifier = f"sgr-{new_uuid().replace('-', '')[:17]}"
        return identifier, {"Id": identifier}

    return create


def _rule_delete(side: str) -> Callable[[str, Properties], None]:
    def delete(_identifier: str, properties: Properties) -> None:
        group = ec2._security_groups.get(properties["GroupId"])
        for rule in provisioners._ec2_sg_permissions([properties]):
            if group is not None and rule in group[side]:
                group[side].remove(rule)

    return delete


def _placeholder(name: str) -> Callable[[str, Properties, str], Made]:
    def create(logical_id: str, properties: Properties, stack: str) -> Made:
        identifier = f"{stack}-{logical_id}-{new_uuid()[:8]}"
        WORLD.placeholders[identifier] = {"type": name, "stack": stack, "properties": properties}
        service = name.split("::")[1].lower()
        arn = f"arn:aws:{service}:{get_region()}:{get_account_id()}:{identifier}"
        return identifier, {"Arn": arn}

    return create


def _placeholder_delete(identifier: str, _properties: Properties) -> None:
    WORLD.placeholders.pop(identifier, None)

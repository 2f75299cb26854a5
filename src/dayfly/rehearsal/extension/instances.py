"""AWS::EC2::Instance in CloudFormation.

After https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-instance.html: a
property of the resource comes before the launch template's; `Ref` is the instance id; tags of the stack reach
the instance, and its volume with PropagateTagsToVolumeOnCreation. No machine stands behind an instance here:
see `world.ON_LAUNCH`.
"""

from __future__ import annotations

import base64
import copy
from typing import Any

from ministack.core.responses import get_region, new_uuid, now_iso
from ministack.services import ec2, iam
from ministack.services.cloudformation import provisioners

from . import capacity
from .world import ON_LAUNCH, ON_TERMINATE

Properties = dict[str, Any]
_USER_DATA_BYTES = 16384
_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


def install() -> None:
    """Add the resource type."""
    provisioners._RESOURCE_HANDLERS["AWS::EC2::Instance"] = {"create": create, "delete": _delete}
    provisioners._STACK_TAG_PROPERTY["AWS::EC2::Instance"] = ("Tags", "list")


def create(_logical_id: str, properties: Properties, stack_name: str) -> tuple[str, dict[str, str]]:
    """Launch one. Raises ValueError in AWS's words: no capacity, no quota, a wrong property."""
    ec2._ensure_defaults_initialized()
    asked = with_template(properties)
    for name in ("ImageId", "InstanceType"):
        if not asked.get(name):
            raise ValueError(f"The request must contain the parameter {name}")
    data = str(asked.get("UserData") or "")
    if len(base64.b64decode(data, validate=True)) > _USER_DATA_BYTES:
        raise ValueError("User data is limited to 16384 bytes")
    subnet = _subnet(asked)
    spot = asked.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
    capacity.check(asked["InstanceType"], subnet["AvailabilityZone"], spot=spot)
    (instance,) = ec2._launch_instances_internal(
        image_id=asked["ImageId"],
        instance_type=asked["InstanceType"],
        subnet_id=subnet["SubnetId"],
        count=1,
        key_name=asked.get("KeyName", ""),
        user_data=data,
        sg_ids=_groups(asked),
        iam_profile=_profile(asked.get("IamInstanceProfile")),
    )
    _complete(instance, asked, subnet, stack_name, spot=spot)
    _tag(instance, asked)
    for hook in ON_LAUNCH:
        hook(instance)
    attributes = (
        "PrivateIpAddress",
        "PublicIpAddress",
        "PrivateDnsName",
        "PublicDnsName",
        "InstanceId",
        "VpcId",
    )
    zone = {"AvailabilityZone": subnet["AvailabilityZone"]}
    return instance["InstanceId"], {name: instance[name] for name in attributes} | zone


def with_template(properties: Properties) -> Properties:
    """The properties, upon those of the launch template's version."""
    named = properties.get("LaunchTemplate")
    if not named:
        return properties
    template = _template(named)
    version = str(named.get("Version") or "")
    if not version:
        raise ValueError("The launch template's Version must be given")
    version = {
        "$Latest": str(template["LatestVersionNumber"]),
        "$Default": str(template["DefaultVersionNumber"]),
    }.get(version, version)
    for one in template["Versions"]:
        if str(one["VersionNumber"]) == version:
            return {**copy.deepcopy(one["LaunchTemplateData"]), **properties}
    raise ValueError(f"Could not find the specified version {version} for the launch template")


def _template(named: Properties) -> dict[str, Any]:
    for template in ec2._launch_templates.values():
        if named.get("LaunchTemplateId") == template["LaunchTemplateId"]:
            return dict(template)
        if named.get("LaunchTemplateName") == template["LaunchTemplateName"]:
            return dict(template)
    name = named.get("LaunchTemplateId") or named.get("LaunchTemplateName")
    raise ValueError(f"The specified launch template, with template ID {name}, does not exist.")


def _interface(asked: Properties) -> Properties:
    interfaces = asked.get("NetworkInterfaces") or [{}]
    return dict(interfaces[0])


def _subnet(asked: Properties) -> dict[str, Any]:
    named = asked.get("SubnetId") or _interface(asked).get("SubnetId")
    if named:
        if named not in ec2._subnets:
            raise ValueError(f"The subnet ID '{named}' does not exist")
        return dict(ec2._subnets[named])
    zone = (
        asked.get("AvailabilityZone")
        or asked.get("Placement", {}).get("AvailabilityZone")
        or f"{get_region()}a"
    )
    for subnet in ec2._subnets.values():
        if subnet.get("DefaultForAz") and subnet["AvailabilityZone"] == zone:
            return dict(subnet)
    raise ValueError(f"No default subnet for availability zone: '{zone}'.")


def _groups(asked: Properties) -> list[str]:
    groups = (
        asked.get("SecurityGroupIds")
        or _interface(asked).get("GroupSet")
        or _interface(asked).get("Groups")
        or []
    )
    for group in groups:
        if group not in ec2._security_groups:
            raise ValueError(f"The security group '{group}' does not exist")
    return list(groups)


def _profile(named: Any) -> dict[str, str] | None:
    """A profile by name (the resource's property) or by name or ARN (the launch template's)."""
    if not named:
        return None
    by = {"Name": named} if isinstance(named, str) else named
    found = iam._lookup_instance_profile(name=by.get("Name", ""), arn=by.get("Arn", ""))
    if not found:
        name = by.get("Name") or by.get("Arn")
        raise ValueError(
            f"Value ({name}) for parameter iamInstanceProfile.name is invalid. "
            "Invalid IAM Instance Profile name"
        )
    return {"Arn": found["Arn"], "Id": found["InstanceProfileId"]}


def _complete(
    instance: dict[str, Any], asked: Properties, subnet: dict[str, Any], stack_name: str, *, spot: bool
) -> None:
    metadata = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"}
    instance["Placement"]["AvailabilityZone"] = subnet["AvailabilityZone"]
    instance["VpcId"] = subnet["VpcId"]
    instance["Architecture"] = capacity.architecture(asked["InstanceType"])
    instance["MetadataOptions"] = metadata | asked.get("MetadataOptions", {})
    instance["ShutdownBehavior"] = asked.get("InstanceInitiatedShutdownBehavior", "stop")
    instance["StackName"] = stack_name
    instance["LaunchTime"] = now_iso()
    instance["PublicKey"] = ec2._key_pairs.get(asked.get("KeyName", ""), {}).get("PublicKey", "")
    if spot:
        instance["InstanceLifecycle"] = "spot"
        instance["SpotInstanceRequestId"] = f"sir-{new_uuid()[:8]}"
    mappings = asked.get("BlockDeviceMappings") or [{}]
    disk = mappings[0].get("Ebs", {})
    volume = _volume(instance)
    volume |= {
        "Size": int(disk.get("VolumeSize", volume["Size"])),
        "Encrypted": str(disk.get("Encrypted", "false")).lower() == "true",
        "VolumeType": disk.get("VolumeType", "gp3"),
        "AvailabilityZone": subnet["AvailabilityZone"],
    }
    gone_with_it = str(disk.get("DeleteOnTermination", "true")).lower() == "true"
    instance["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] = gone_with_it


def _volume(instance: dict[str, Any]) -> dict[str, Any]:
    volume: dict[str, Any] = ec2._volumes[instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]]
    return volume


def _tag(instance: dict[str, Any], asked: Properties) -> None:
    tags = {"instance": dict[str, str](), "volume": dict[str, str]()}
    for spec in asked.get("TagSpecifications") or []:
        tags.setdefault(spec["ResourceType"], {}).update({one["Key"]: one["Value"] for one in spec["Tags"]})
    tags["instance"] |= {one["Key"]: one["Value"] for one in asked.get("Tags") or []}
    if str(asked.get("PropagateTagsToVolumeOnCreation", "false")).lower() == "true":
        tags["volume"] |= tags["instance"]
    for name, identifier in (("instance", instance["InstanceId"]), ("volume", _volume(instance)["VolumeId"])):
        ec2._tags[identifier] = [{"Key": key, "Value": value} for key, value in tags[name].items()]


def _delete(instance_id: str, _properties: Properties) -> None:
    if instance_id in ec2._instances:
        set_state(instance_id, "terminated")


def set_state(instance_id: str, state: str) -> dict[str, Any]:
    """Move an instance to another state; `powered-off` is what its shutdown behaviour makes of it."""
    instance: dict[str, Any] = ec2._instances[instance_id]
    if state == "powered-off":
        state = "terminated" if instance.get("ShutdownBehavior") == "terminate" else "stopped"
    if state == "terminated" and instance["State"]["Name"] != "terminated":
        ec2._terminate_instances({"InstanceId.1": [instance_id]})
        after_termination(instance)
    instance["State"] = {"Code": _CODES[state], "Name": state}
    return shown(instance)


def set_address(instance_id: str, address: str) -> None:
    """Where its machine is reached, from its subnet and from outside; an Elastic IP stays what it is."""
    instance = ec2._instances[instance_id]
    instance["PrivateIpAddress"] = address
    if all(one["InstanceId"] != instance_id for one in ec2._addresses.values()):
        instance["PublicIpAddress"] = address


def after_termination(instance: dict[str, Any]) -> None:
    """Its disk goes, its address is free, and whoever has a machine for it is told."""
    for mapping in instance["BlockDeviceMappings"]:
        if mapping["Ebs"]["DeleteOnTermination"]:
            ec2._volumes.pop(mapping["Ebs"]["VolumeId"], None)
    for address in ec2._addresses.values():
        if address["InstanceId"] == instance["InstanceId"]:
            address |= {"InstanceId": None, "AssociationId": None}
    for hook in ON_TERMINATE:
        hook(instance)


def standing() -> list[dict[str, Any]]:
    """Every instance that is not terminated, in every region."""
    return [shown(one) for one in ec2._instances._data.values() if one["State"]["Name"] != "terminated"]


def shown(instance: dict[str, Any]) -> dict[str, Any]:
    """An instance as tests and a later instance backend need it; the user data is decoded."""
    data = base64.b64decode(instance.get("UserData") or "").decode(errors="replace")
    tags = {one["Key"]: one["Value"] for one in ec2._tags.get(instance["InstanceId"], [])}
    volumes = [ec2._volumes.get(one["Ebs"]["VolumeId"]) for one in instance["BlockDeviceMappings"]]
    return instance | {"UserData": data, "Tags": tags, "State": instance["State"]["Name"], "Volumes": volumes}

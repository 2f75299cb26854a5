"""Machine images and the public SSM parameters that name the newest of them.

Amazon Linux's are as they once were (moto's data); the others' ids are invented, for names AWS documents:
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html,
https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2, ssm

from . import ec2_xml, types_data
from .world import Answer

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64"}
_DEEP = "/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-{system}/latest/ami-id"
_SYSTEMS = ("amazon-linux-2023", "ubuntu-22.04", "ubuntu-24.04")
_INVENTED = (
    *(_DEEP.format(arch=arch, system=system) for arch in ("x86_64", "arm64") for system in _SYSTEMS),
    *(
        f"/aws/service/debian/release/{release}/latest/{arch}"
        for release in (12, 13)
        for arch in ("amd64", "arm64")
    ),
    *(
        f"/aws/service/canonical/ubuntu/server/{release}/stable/current/{arch}/hvm/ebs-gp3/ami-id"
        for release in ("22.04", "24.04")
        for arch in ("amd64", "arm64")
    ),
)


def install() -> None:
    """Answer for public parameters, and describe the images that they name."""
    ssm.handle_request = _public(ssm.handle_request)
    ssm.resolve_parameter_value = _resolving(ssm.resolve_parameter_value)
    ec2._ACTION_MAP["DescribeImages"] = _describing(ec2._ACTION_MAP["DescribeImages"])


def parameters(region: str) -> dict[str, str]:
    """Public parameter → image id."""
    invented = {
        name: f"ami-{hashlib.sha256((region + name).encode()).hexdigest()[:17]}" for name in _INVENTED
    }
    return types_data.latest_images(region) | invented


def image(image_id: str) -> dict[str, Any] | None:
    """What DescribeImages says of an image that a public parameter names."""
    name = {value: name for name, value in parameters(get_region()).items()}.get(image_id)
    if name is None:
        return None
    arch = next(long for short, long in _ARCHITECTURES.items() if short in name)
    device = "/dev/xvda" if "amazon-linux" in name or "debian" in name else "/dev/sda1"
    size = 75 if "deeplearning" in name else 8
    return {
        "ImageId": image_id,
        "Name": name.rpartition("/aws/service/")[2].replace("/", "-"),
        "Architecture": arch,
        "RootDeviceName": device,
        "RootDeviceType": "ebs",
        "State": "available",
        "Public": True,
        "OwnerId": "137112412989",
        "ImageOwnerAlias": "amazon",
        "ImageType": "machine",
        "VirtualizationType": "hvm",
        "Hypervisor": "xen",
        "EnaSupport": True,
        "CreationDate": "2026-10-01T00:00:00.000Z",
        "BlockDeviceMappings": [
            {
                "DeviceName": device,
                "Ebs": {
                    "VolumeSize": size,
                    "VolumeType": "gp3",
                    "DeleteOnTermination": True,
                    "Encrypted": False,
                },
            }
        ],
    }


def _public(original: Callable[..., Any]) -> Callable[..., Any]:
    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Answer:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        asked = json.loads(body or b"{}")
        known = parameters(get_region())
        said: dict[str, Any]
        if operation == "GetParameter" and asked.get("Name") in known:
            said = {"Parameter": _record(asked["Name"], known)}
            return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(said).encode()
        if operation == "GetParameters" and (
            names := [one for one in asked.get("Names", []) if one in known]
        ):
            rest = [one for one in asked["Names"] if one not in known]
            said = {"Parameters": [_record(one, known) for one in names], "InvalidParameters": rest}
            return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(said).encode()
        answer: Answer = await original(method, path, headers, body, query)
        return answer

    return handle


def _record(name: str, known: dict[str, str]) -> dict[str, Any]:
    arn = f"arn:aws:ssm:{get_region()}::parameter{name}"
    record = {"Name": name, "Type": "String", "Value": known[name], "Version": 1, "ARN": arn}
    return record | {"DataType": "aws:ec2:image", "LastModifiedDate": 1790810904.0}


def _resolving(original: Callable[[str], Any]) -> Callable[[str], Any]:
    def resolve(name: str) -> Any:
        return parameters(get_region()).get(name) or original(name)

    return resolve


def _describing(original: Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    def describe(asked: dict[str, Any]) -> Answer:
        found = [image(one) for one in ec2_xml.listed(asked, "ImageId")]
        if not found or None in found:
            return original(asked)
        return ec2_xml.answer("DescribeImages", {"Images": found})

    return describe

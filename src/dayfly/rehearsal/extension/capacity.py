"""Whether a launch finds capacity and quota. Both are injected: an emulator has no machines to run out of.

EC2's words are those of https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html and
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html, wrapped as CloudFormation's
resource handlers do.
"""

from __future__ import annotations

import re
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import ec2

from . import types_data, world
from .world import WORLD


def check(instance_type: str, zone: str, *, spot: bool) -> None:
    """Raises ValueError as CloudFormation shows it."""
    kind = types_data.instance_types().get(instance_type)
    if kind is None:
        raise _refused(
            400,
            f"Invalid value '{instance_type}' for InstanceType.",
        )
    offered = {
        one["Location"]
        for one in types_data.offerings("availability-zone", zone[:-1])
        if one["InstanceType"] == instance_type
    }
    if zone not in offered:
        raise _refused(
            400,
            f"Your requested instance type ({instance_type}) is not supported in your requested Availability "
            f"Zone ({zone}). Please retry your request by not specifying an Availability Zone or choosing "
            f"{', '.join(sorted(offered))}.",
        )
    quota = quota_code(instance_type, spot=spot)
    used = sum(_processors(one["InstanceType"]) for one in _counted(quota))
    limit = WORLD.quotas.get(quota, 0.0)
    if used + _processors(instance_type) > limit:
        if spot:
            raise _refused(400, "Max spot instance count exceeded")
        raise _refused(
            400,
            f"You have requested more vCPU capacity than your current vCPU limit of {limit:.0f} allows for "
            "the instance bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
        )
    if WORLD.lacks_capacity(instance_type, zone):
        if spot:
            raise _refused(500, "There is no Spot capacity available that matches your request.")
        others = ", ".join(sorted(offered - {zone}))
        raise _refused(
            500,
            f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you "
            f"requested ({zone}). Our system will be working on provisioning additional capacity. You can "
            f"currently get {instance_type} capacity by not specifying an Availability Zone in your request "
            f"or choosing {others}.",
        )


def quota_code(instance_type: str, *, spot: bool) -> str:
    """The quota that counts a type; empty when none does."""
    quotas = world.SPOT_QUOTAS if spot else world.ON_DEMAND_QUOTAS
    family = instance_type.partition(".")[0]
    letters = re.match("[a-z]+", family)
    names = (family[:2], letters[0] if letters else "")
    return next((code for name in names for code, families in quotas.items() if name in families), "")


def architecture(instance_type: str) -> str:
    """`arm64` or `x86_64`."""
    known = types_data.instance_types()[instance_type]["ProcessorInfo"]["SupportedArchitectures"]
    return "arm64" if "arm64" in known else "x86_64"


def _processors(instance_type: str) -> float:
    known = types_data.instance_types().get(instance_type, {})
    return float(known.get("VCpuInfo", {}).get("DefaultVCpus", 0))


def _counted(quota: str) -> list[dict[str, Any]]:
    return [
        one
        for one in ec2._instances.values()
        if one["State"]["Name"] in ("pending", "running")
        and quota_code(one["InstanceType"], spot=one.get("InstanceLifecycle") == "spot") == quota
    ]


def _refused(status: int, message: str) -> ValueError:
    """As CloudFormation's event shows it: without EC2's code, so only the words tell what was wrong."""
    return ValueError(
        f'Resource handler returned message: "{message} (Service: Ec2, Status Code: {status}, '
        f'Request ID: {new_uuid()})" '
        f"(RequestToken: {new_uuid()}, HandlerErrorCode: GeneralServiceException)"
    )

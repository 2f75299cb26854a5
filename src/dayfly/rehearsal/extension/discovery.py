"""What EC2 offers: types and zones as they once were (moto's data), spot prices that are invented."""

from __future__ import annotations

import fnmatch
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2

from . import ec2_xml, images, instance_api, market, types_data
from .world import WORLD, Answer

Parameters = dict[str, Any]


def install() -> None:
    """Replace ministack's twelve types, and add what it does not answer."""
    ec2._ACTION_MAP |= {
        "DescribeInstanceTypes": _types,
        "DescribeInstanceTypeOfferings": _offerings,
        "DescribeSpotPriceHistory": _spot_history,
    }
    instance_api.install()
    images.install()
    market.install()


@cache
def _type_xml(name: str) -> str:
    return ec2_xml.element("DescribeInstanceTypes", "InstanceTypes", types_data.instance_types()[name])


def offered(region: str) -> list[str]:
    """The types of a region, by name."""
    known = types_data.instance_types()
    return sorted({one["InstanceType"] for one in types_data.offerings("region", region)} & set(known))


def _types(parameters: Parameters) -> Answer:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html."""
    here = offered(get_region())
    asked = ec2_xml.listed(parameters, "InstanceType")
    if unknown := [one for one in asked if one not in here]:
        said = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
        refused: Answer = ec2._error("InvalidInstanceType", said, 400)
        return refused
    wanted = ec2_xml.filters(parameters)
    names = [one for one in asked or here if _fits(types_data.instance_types()[one], wanted)]
    shown, following = ec2_xml.page(parameters, names, 100)
    tag = ec2_xml.list_name("DescribeInstanceTypes", "InstanceTypes")
    more = f"<nextToken>{following}</nextToken>" if following else ""
    inner = f"<{tag}>{''.join(_type_xml(one) for one in shown)}</{tag}>{more}"
    answer: Answer = ec2._xml(200, "DescribeInstanceTypesResponse", inner)
    return answer


def _fits(kind: dict[str, Any], wanted: dict[str, list[str]]) -> bool:
    return all(
        any(fnmatch.fnmatchcase(one, pattern) for one in _values(kind, name) for pattern in patterns)
        for name, patterns in wanted.items()
    )


def _values(kind: dict[str, Any], name: str) -> list[str]:
    """The value that a filter (`processor-info.supported-architecture`) is about."""
    node: Any = kind
    for part in name.split("."):
        camel = "".join(word.title() for word in part.split("-")).replace("Vcpu", "VCpu")
        found = [key for key in (camel, f"{camel}s") if isinstance(node, dict) and key in node]
        if not found:
            return []
        node = node[found[0]]
    values = node if isinstance(node, list) else [node]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in values]


def _offerings(parameters: Parameters) -> Answer:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypeOfferings.html."""
    kind = ec2_xml.parameter(parameters, "LocationType", "region")
    wanted = ec2_xml.filters(parameters)
    found = [
        {**one, "LocationType": kind}
        for one in types_data.offerings(kind, get_region())
        if _matches(one["InstanceType"], wanted.get("instance-type"))
        and _matches(one["Location"], wanted.get("location"))
    ]
    shown, following = ec2_xml.page(parameters, found)
    said = {"InstanceTypeOfferings": shown, "NextToken": following}
    return ec2_xml.answer("DescribeInstanceTypeOfferings", said)


def _matches(value: str, patterns: list[str] | None) -> bool:
    return patterns is None or any(fnmatch.fnmatchcase(value, one) for one in patterns)


def _spot_history(parameters: Parameters) -> Answer:
    """Invented prices; https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html."""
    asked = ec2_xml.listed(parameters, "InstanceType")
    wanted = ec2_xml.filters(parameters)
    zone = ec2_xml.parameter(parameters, "AvailabilityZone")
    zones = [zone] if zone else wanted.get("availability-zone")
    descriptions = ec2_xml.listed(parameters, "ProductDescription") or wanted.get("product-description")
    at = datetime.fromtimestamp(WORLD.now(), tz=UTC).replace(minute=0, second=0, microsecond=0)
    found = [
        {
            "InstanceType": one["InstanceType"],
            "AvailabilityZone": one["Location"],
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": f"{market.spot_price(one['InstanceType'], one['Location']):.6f}",
            "Timestamp": at,
        }
        for one in types_data.offerings("availability-zone", get_region())
        if (not asked or one["InstanceType"] in asked)
        and _matches(one["InstanceType"], wanted.get("instance-type"))
        and _matches(one["Location"], zones)
        and (not descriptions or "Linux/UNIX" in descriptions)
    ]
    shown, following = ec2_xml.page(parameters, found)
    said = {"SpotPriceHistory": shown, "NextToken": following or ""}
    return ec2_xml.answer("DescribeSpotPriceHistory", said)

"""Prices and quotas. All numbers are INVENTED; only their form is AWS's.

A price is a plain sum over what a type has, so that a test can work it out; it was never a price of AWS.
Forms: https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html,
https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import Any

from ministack.core.responses import get_account_id, get_region

from . import dispatch, types_data
from .world import WORLD, Answer

PER_PROCESSOR = Decimal("0.04")
PER_GIB = Decimal("0.005")
PER_GPU = Decimal("0.50")
SPOT_SHARE = Decimal("0.3")
_OTHERS = {
    "AmazonEC2": {"productFamily": "Storage", "volumeApiName": "gp3", "usagetype": "EBS:VolumeUsage.gp3"},
    "AmazonVPC": {"group": "VPCPublicIPv4Address", "usagetype": "PublicIPv4:InUseAddress"},
    "AmazonS3": {"productFamily": "Storage", "volumeType": "Standard", "usagetype": "TimedStorage-ByteHrs"},
    "AmazonECR": {"productFamily": "EC2 Container Registry", "usagetype": "TimedStorage-ByteHrs"},
}
_PRICES = {
    "AmazonEC2": ("0.10", "GB-Mo"),
    "AmazonVPC": ("0.01", "Hrs"),
    "AmazonS3": ("0.02", "GB-Mo"),
    "AmazonECR": ("0.10", "GB-Mo"),
}


def install() -> None:
    """Add the two services."""
    dispatch.add_service("pricing", "AWSPriceListService", _pricing)
    dispatch.add_service("servicequotas", "ServiceQuotasV20190624", _quotas)


def price(instance_type: str) -> Decimal:
    """Invented dollars an hour."""
    kind = types_data.instance_types()[instance_type]
    gpus = sum(one.get("Count", 0) for one in kind.get("GpuInfo", {}).get("Gpus", []))
    gib = Decimal(kind["MemoryInfo"]["SizeInMiB"]) / 1024
    processors = Decimal(kind["VCpuInfo"]["DefaultVCpus"])
    return processors * PER_PROCESSOR + gib * PER_GIB + Decimal(gpus) * PER_GPU


def spot_price(instance_type: str, zone: str) -> Decimal:
    """Invented dollars an hour; a little dearer in each later zone."""
    return price(instance_type) * (SPOT_SHARE + Decimal("0.01") * (ord(zone[-1]) - ord("a")))


def _product(service: str, attributes: dict[str, str], dollars: str, unit: str) -> str:
    code = f"{service}.{attributes['usagetype']}.{attributes.get('instanceType', '')}"
    dimension = {
        "unit": unit,
        "beginRange": "0",
        "endRange": "Inf",
        "description": "INVENTED by the emulator; not a price of AWS",
        "rateCode": f"{code}.rate",
        "appliesTo": [],
        "pricePerUnit": {"USD": dollars},
    }
    offer = {"priceDimensions": {f"{code}.rate": dimension}, "sku": code, "termAttributes": {}}
    product = {"sku": code, "attributes": attributes, "productFamily": attributes.get("productFamily", "")}
    return json.dumps(
        {"product": product, "serviceCode": service, "terms": {"OnDemand": {f"{code}.offer": offer}}}
    )


@cache
def _products(service: str, region: str) -> list[tuple[dict[str, str], str]]:
    """Attributes, which filters match, and the product as the price list has it."""
    if service not in _OTHERS:
        return []
    prefix = "" if region == "us-east-1" else "REG1-"
    common = {"regionCode": region, "location": region, "locationType": "AWS Region", "servicecode": service}
    other = common | _OTHERS[service]
    other["usagetype"] = prefix + other["usagetype"]
    found = [(other, _product(service, other, *_PRICES[service]))]
    if service == "AmazonEC2":
        for one in types_data.offerings("region", region):
            name = one["InstanceType"]
            if name in types_data.instance_types():
                attributes = common | _instance_attributes(name, prefix)
                found.append((attributes, _product(service, attributes, f"{price(name):.10f}", "Hrs")))
    return found


def _instance_attributes(name: str, prefix: str) -> dict[str, str]:
    kind = types_data.instance_types()[name]
    return {
        "productFamily": "Compute Instance",
        "instanceType": name,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "preInstalledSw": "NA",
        "licenseModel": "No License required",
        "operation": "RunInstances",
        "marketoption": "OnDemand",
        "usagetype": f"{prefix}BoxUsage:{name}",
        "vcpu": str(kind["VCpuInfo"]["DefaultVCpus"]),
        "memory": f"{kind['MemoryInfo']['SizeInMiB'] / 1024:g} GiB",
    }


def _pricing(operation: str, asked: dict[str, Any]) -> Answer:
    if operation != "GetProducts":
        return dispatch.json_error(
            "InvalidParameterException", f"The emulator does not know pricing:{operation}"
        )
    wanted = {one["Field"]: one["Value"] for one in asked.get("Filters", [])}
    products = _products(asked["ServiceCode"], wanted.get("regionCode", get_region()))
    texts = [text for has, text in products if all(has.get(key) == value for key, value in wanted.items())]
    begin = int(asked.get("NextToken") or 0)
    end = begin + min(int(asked.get("MaxResults") or 100), 100)
    said: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": texts[begin:end]}
    return dispatch.json_answer(said | ({"NextToken": str(end)} if end < len(texts) else {}))


def _quotas(operation: str, asked: dict[str, Any]) -> Answer:
    code = asked.get("QuotaCode", "")
    if operation == "ListServiceQuotas":
        return dispatch.json_answer({"Quotas": [_quota(one) for one in WORLD.quotas]})
    if asked.get("ServiceCode") != "ec2" or code not in WORLD.quotas:
        return dispatch.json_error(
            "NoSuchResourceException", "The request failed because the specified quota does not exist."
        )
    return dispatch.json_answer({"Quota": _quota(code)})


def _quota(code: str) -> dict[str, Any]:
    arn = f"arn:aws:servicequotas:{get_region()}:{get_account_id()}:ec2/{code}"
    return {
        "ServiceCode": "ec2",
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": arn,
        "QuotaCode": code,
        "QuotaName": code,
        "Value": WORLD.quotas[code],
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }

"""The AWS Price List: products with their terms as JSON, and what of it is a price for us.

All of it is public and the same for every account; discounts and credits are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from dayfly.aws.client import Aws

if TYPE_CHECKING:
    from mypy_boto3_pricing.type_defs import FilterTypeDef

_ON_DEMAND = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "preInstalledSw": "NA",
    "licenseModel": "No License required",
    "operation": "RunInstances",
    "marketoption": "OnDemand",
}
"""Of the many prices of one type, the one of a plain Linux machine that is paid by the second."""
_HOURS = ("Hrs", "Hours")
_GB_MONTH = ("GB-Mo", "GB-month")


def ask_for_instance_prices(aws: Aws, name: str | None = None) -> dict[str, Decimal]:
    """Dollars an hour by type: of one type (one call), or of all that the region has (some ten)."""
    wanted = {**_ON_DEMAND, "regionCode": aws.region, **({"instanceType": name} if name else {})}
    found: dict[str, Decimal] = {}
    for product in _products(aws, "AmazonEC2", wanted):
        instance_type = _attributes(product).get("instanceType")
        price = price_of(product, _HOURS)
        if isinstance(instance_type, str) and price is not None:
            found[instance_type] = price
    return found


def ask_for_disk_price(aws: Aws) -> Decimal | None:
    """Dollars for a GiB of a gp3 volume for a month."""
    wanted = {"regionCode": aws.region, "productFamily": "Storage", "volumeApiName": "gp3"}
    return _first_price(aws, "AmazonEC2", wanted, _GB_MONTH)


def ask_for_address_price(aws: Aws) -> Decimal | None:
    """Dollars an hour for a public IPv4 address in use: every machine has one."""
    wanted = {"regionCode": aws.region, "group": "VPCPublicIPv4Address"}
    return _first_price(aws, "AmazonVPC", wanted, _HOURS, usage="PublicIPv4:InUseAddress")


def ask_for_bucket_price(aws: Aws) -> Decimal | None:
    """Dollars for a GB in S3 Standard for a month, in the first and dearest tier."""
    wanted = {"regionCode": aws.region, "productFamily": "Storage", "volumeType": "Standard"}
    return _first_price(aws, "AmazonS3", wanted, _GB_MONTH, usage="TimedStorage-ByteHrs")


def ask_for_image_price(aws: Aws) -> Decimal | None:
    """Dollars for a GB in a private image repository for a month."""
    wanted = {"regionCode": aws.region}
    return _first_price(aws, "AmazonECR", wanted, _GB_MONTH, usage="TimedStorage-ByteHrs")


def _first_price(
    aws: Aws, service: str, wanted: Mapping[str, str], units: tuple[str, ...], *, usage: str = ""
) -> Decimal | None:
    """The price of the product whose usage type is `usage`, whatever code of the region precedes it."""
    for product in _products(aws, service, wanted):
        kind = str(_attributes(product).get("usagetype", ""))
        if usage and kind != usage and not kind.endswith(f"-{usage}"):
            continue
        price = price_of(product, units)
        if price is not None:
            return price
    return None


def _products(aws: Aws, service: str, wanted: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    filters: list[FilterTypeDef] = [
        {"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()
    ]
    pages = aws.pricing.get_paginator("get_products").paginate(
        ServiceCode=service, Filters=filters, PaginationConfig={"PageSize": 100}
    )
    for page in pages:
        for text in page.get("PriceList", []):
            try:
                product = json.loads(text)
            except ValueError:
                continue
            if isinstance(product, dict):
                yield product


def _attributes(product: Mapping[str, Any]) -> Mapping[str, Any]:
    attributes = _part(_part(product).get("product")).get("attributes")
    return _part(attributes)


def price_of(product: Mapping[str, Any], units: tuple[str, ...]) -> Decimal | None:
    """Dollars for one of `units`, paid as one goes; None when the product has no such price.

    The price of the first tier, which begins at nothing. A price of zero is one of another kind: a free
    tier, or something that is paid elsewhere.
    """
    offers = _part(_part(product.get("terms")).get("OnDemand"))
    prices = []
    for offer in offers.values():
        for dimension in _part(_part(offer).get("priceDimensions")).values():
            of = _part(dimension)
            price = _decimal(_part(of.get("pricePerUnit")).get("USD"))
            if of.get("unit") in units and price is not None and price > 0:
                prices.append((_decimal(of.get("beginRange")) or Decimal(0), price))
    return min(prices)[1] if prices else None


def _part(value: object) -> Mapping[str, Any]:
    """`value` where it is an object of JSON; else an empty one."""
    return value if isinstance(value, dict) else {}


def _decimal(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None

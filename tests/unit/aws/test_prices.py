from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.aws.cache import Cache
from dayfly.aws.client import Aws
from dayfly.aws.estimates import (
    LONGEST,
    deadline_for_cost,
    dollars_for,
    estimate,
    idle_cost,
    whole_price,
)
from dayfly.aws.extras import Extras, load_extras
from dayfly.aws.money import dollars, dollars_per_hour
from dayfly.aws.price_list import price_of
from dayfly.aws.prices import Price, load_prices, load_spot_prices
from tests.unit.aws.stubbed import NOW, REGION, Clock, StubbedAws, cache_in, stubbed_aws

WEEK = timedelta(days=7)


def product(
    *, usd: str = "0.4830000000", unit: str = "Hrs", begins: str = "0", **attributes: str
) -> dict[str, Any]:
    """A product with its terms, in the Price List's own form."""
    dimension = {
        "unit": unit,
        "endRange": "Inf",
        "beginRange": begins,
        "description": f"${usd} per {unit}",
        "appliesTo": [],
        "rateCode": "SKU.JRTCKXETXF.6YS6EN2CT7",
        "pricePerUnit": {"USD": usd},
    }
    offer = {"priceDimensions": {"SKU.JRTCKXETXF.6YS6EN2CT7": dimension}, "offerTermCode": "JRTCKXETXF"}
    return {
        "product": {"productFamily": "Compute Instance", "attributes": attributes, "sku": "SKU"},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {"SKU.JRTCKXETXF": offer}, "Reserved": {"SKU.X": {"priceDimensions": {}}}},
    }


def _answer(stubbed: StubbedAws, products: list[dict[str, Any]], **expected: str) -> None:
    fields = {
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "preInstalledSw": "NA",
        "licenseModel": "No License required",
        "operation": "RunInstances",
        "marketoption": "OnDemand",
        "regionCode": REGION,
        **expected,
    }
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in fields.items()]
    stubbed.answer(
        "pricing",
        "get_products",
        {"PriceList": [json.dumps(one) for one in products]},
        {"ServiceCode": "AmazonEC2", "Filters": filters, "MaxResults": 100},
    )


def test_a_named_type_takes_one_call_a_week(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _answer(stubbed, [product(instanceType="m7i.2xlarge")], instanceType="m7i.2xlarge")
        stubbed_price = {"m7i.2xlarge": Price(per_hour=Decimal("0.4830000000"), at=NOW)}
        assert load_prices(stubbed.aws, cache, "m7i.2xlarge") == stubbed_price
        stubbed.clock.pass_by(WEEK)
        assert load_prices(stubbed.aws, cache, "m7i.2xlarge") == stubbed_price  # of a week ago, and says so


def test_a_sweep_serves_every_type_after_it(tmp_path: Path) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        _answer(stubbed, [product(instanceType="m7i.large", usd="0.12"), product(instanceType="c7i.large")])
        assert set(load_prices(stubbed.aws, cache)) == {"m7i.large", "c7i.large"}
        assert load_prices(stubbed.aws, cache, "m7i.large")["m7i.large"].per_hour == Decimal("0.12")


@pytest.mark.parametrize("spot", [False, True])
def test_what_cannot_be_had_is_unknown_and_is_asked_for_again(tmp_path: Path, spot: bool) -> None:
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        if spot:
            stubbed.refuse("ec2", "describe_spot_price_history", "UnauthorizedOperation")
            stubbed.answer("ec2", "describe_spot_price_history", {"SpotPriceHistory": []})
        else:
            stubbed.refuse("pricing", "get_products", "AccessDeniedException")
            stubbed.answer("pricing", "get_products", {"PriceList": []})
        for _ in range(2):
            if spot:
                assert load_spot_prices(stubbed.aws, cache).prices() == {}
            else:
                assert load_prices(stubbed.aws, cache) == {}


def test_a_price_is_of_the_first_tier_in_the_unit_asked_for() -> None:
    tiers = product(usd="0.023", unit="GB-Mo")
    dimensions = next(iter(tiers["terms"]["OnDemand"].values()))["priceDimensions"]
    dimensions["second"] = {"unit": "GB-Mo", "beginRange": "51200", "pricePerUnit": {"USD": "0.022"}}
    dimensions["other"] = {"unit": "Hrs", "beginRange": "0", "pricePerUnit": {"USD": "9"}}
    assert price_of(tiers, ("GB-Mo",)) == Decimal("0.023")


@pytest.mark.parametrize("usd", ["0.0000000000", "NaN", "Infinity", "-1", "dear", ""])
def test_what_is_no_price_is_none(usd: str) -> None:
    assert price_of(product(usd=usd), ("Hrs",)) is None


def test_a_price_in_another_currency_is_none() -> None:
    one = product()
    dimensions = next(iter(one["terms"]["OnDemand"].values()))["priceDimensions"]
    next(iter(dimensions.values()))["pricePerUnit"] = {"CNY": "3.1"}
    assert price_of(one, ("Hrs",)) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["product", "terms", "OnDemand", "priceDimensions", "pricePerUnit", "USD", "unit"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(value=st.dictionaries(st.sampled_from(["product", "terms"]), JSON))
def test_products_of_any_form_are_read_or_passed_over(value: dict[str, Any]) -> None:
    price = price_of(value, ("Hrs",))
    assert price is None or price > 0


def _spot(name: str, zone: str, price: str, ago_h: int = 0) -> dict[str, Any]:
    return {
        "InstanceType": name,
        "AvailabilityZoneId": zone,
        "SpotPrice": price,
        "Timestamp": NOW - timedelta(hours=ago_h),
        "ProductDescription": "Linux/UNIX",
    }


def test_spot_is_the_newest_of_each_zone_and_the_dearest_zone_is_told(tmp_path: Path) -> None:
    """Which zone has capacity is not known before it is asked: the plan must not promise the cheapest."""
    with stubbed_aws() as stubbed:
        cache = cache_in(tmp_path, stubbed.clock)
        history = [
            _spot("m7i.large", "euc1-az1", "0.0400", ago_h=1),
            _spot("m7i.large", "euc1-az1", "0.0900", ago_h=5),
            _spot("m7i.large", "euc1-az2", "0.0512", ago_h=2),
        ]
        stubbed.answer(
            "ec2",
            "describe_spot_price_history",
            {"SpotPriceHistory": history},
            {"StartTime": NOW, "ProductDescriptions": ["Linux/UNIX"], "InstanceTypes": ["m7i.large"]},
        )
        spot = load_spot_prices(stubbed.aws, cache, "m7i.large")
        assert spot.zones("m7i.large") == {"euc1-az1": Decimal("0.0400"), "euc1-az2": Decimal("0.0512")}
        assert spot.price("m7i.large") == Price(per_hour=Decimal("0.0512"), at=NOW, kind="spot")
        stubbed.clock.pass_by(timedelta(hours=1))
        assert load_spot_prices(stubbed.aws, cache, "m7i.large") == spot
        stubbed.clock.pass_by(timedelta(seconds=1))
        stubbed.answer(
            "ec2",
            "describe_spot_price_history",
            {"SpotPriceHistory": [_spot("m7i.large", "euc1-az1", "0.06")]},
        )
        assert load_spot_prices(stubbed.aws, cache, "m7i.large").zones("m7i.large") == {
            "euc1-az1": Decimal("0.06")
        }


class FakePricing:
    """Answers by service and family, from several threads."""

    def __init__(self, products: Mapping[tuple[str, str], list[dict[str, Any]]]) -> None:
        self._products = products
        self._lock = threading.Lock()
        self.asked = 0

    def get_paginator(self, name: str) -> FakePricing:
        assert name == "get_products"
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        with self._lock:
            self.asked += 1
        filters = {one["Field"]: one["Value"] for one in asked["Filters"]}
        assert filters.pop("regionCode") == REGION
        family = filters.get("volumeApiName", filters.get("group", ""))
        yield {
            "PriceList": [json.dumps(one) for one in self._products.get((asked["ServiceCode"], family), [])]
        }


class FakeSession:
    def __init__(self, pricing: FakePricing) -> None:
        self._pricing = pricing

    def client(self, service: str, **_: Any) -> FakePricing:
        assert service == "pricing"
        return self._pricing


PRODUCTS = {
    ("AmazonEC2", "gp3"): [product(usd="0.0952", unit="GB-Mo", usagetype="EUC1-EBS:VolumeUsage.gp3")],
    ("AmazonVPC", "VPCPublicIPv4Address"): [
        product(usd="0.006", usagetype="EUC1-PublicIPv4:IdleAddress"),
        product(usd="0.008", usagetype="EUC1-PublicIPv4:ContiguousBlock"),
        product(usd="0.005", usagetype="EUC1-PublicIPv4:InUseAddress"),
    ],
    ("AmazonS3", ""): [
        product(usd="0.0135", unit="GB-Mo", usagetype="EUC1-TimedStorage-SIA-ByteHrs"),
        product(usd="0.0245", unit="GB-Mo", usagetype="EUC1-TimedStorage-ByteHrs"),
    ],
    ("AmazonECR", ""): [product(usd="0.1", unit="GB-Mo", usagetype="TimedStorage-ByteHrs")],
}


def _extras(pricing: FakePricing, cache: Cache) -> Extras:
    return load_extras(Aws(session=cast("Any", FakeSession(pricing)), region=REGION), cache)


def test_disk_address_bucket_and_images_have_the_price_of_their_own_usage(tmp_path: Path) -> None:
    pricing, cache = FakePricing(PRODUCTS), cache_in(tmp_path, Clock())
    expected = Extras(
        disk_per_gib_month=Decimal("0.0952"),
        address_per_hour=Decimal("0.005"),
        bucket_per_gb_month=Decimal("0.0245"),
        images_per_gb_month=Decimal("0.1"),
    )
    assert _extras(pricing, cache) == expected
    assert _extras(pricing, cache) == expected
    assert pricing.asked == 4


def test_what_of_the_extras_is_missing_is_asked_for_again(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, Clock())
    found = _extras(FakePricing({**PRODUCTS, ("AmazonECR", ""): []}), cache)
    assert (found.images_per_gb_month, found.address_per_hour) == (None, Decimal("0.005"))
    assert _extras(FakePricing(PRODUCTS), cache).images_per_gb_month == Decimal("0.1")


EXTRAS = Extras(disk_per_gib_month=Decimal("0.073"), address_per_hour=Decimal("0.005"))


def test_the_whole_price_has_disk_and_address_in_it() -> None:
    price = whole_price(Price(per_hour=Decimal("0.4"), at=NOW, kind="spot"), EXTRAS, disk_gib=100)
    assert price == Price(per_hour=Decimal("0.415"), at=NOW, kind="spot")
    assert whole_price(None, EXTRAS, disk_gib=100) is None
    assert whole_price(Price(per_hour=Decimal("0.4"), at=NOW), Extras(), disk_gib=100) == Price(
        per_hour=Decimal("0.4"), at=NOW
    )


def test_a_machine_costs_a_minute_at_least_and_then_by_the_second() -> None:
    price = Price(per_hour=Decimal(36), at=NOW)
    assert estimate(price, timedelta(seconds=5)) == Decimal("0.6")
    assert estimate(price, timedelta(seconds=61)) == Decimal("0.61")


def test_dollars_become_time_and_never_more_than_they_buy() -> None:
    assert deadline_for_cost(Decimal(5), Price(per_hour=Decimal("0.4"), at=NOW)) == timedelta(hours=12.5)
    assert deadline_for_cost(Decimal(1), Price(per_hour=Decimal("0.7"), at=NOW)) == timedelta(seconds=5142)


@given(
    cost=st.decimals("0.01", "1e30", allow_nan=False, allow_infinity=False),
    per_hour=st.decimals("0.0001", "1000", allow_nan=False, allow_infinity=False),
)
def test_a_deadline_for_dollars_never_costs_more(cost: Decimal, per_hour: Decimal) -> None:
    deadline = deadline_for_cost(cost, Price(per_hour=per_hour, at=NOW))
    assert timedelta() <= deadline <= LONGEST
    assert dollars_for(per_hour, deadline) <= cost * (1 + Decimal("1e-20"))


def test_what_is_free_has_no_end_but_a_year() -> None:
    assert deadline_for_cost(Decimal(1), Price(per_hour=Decimal(0), at=NOW)) == LONGEST


def test_the_idle_cost_is_that_of_what_is_kept() -> None:
    extras = Extras(bucket_per_gb_month=Decimal("0.0245"), images_per_gb_month=Decimal("0.1"))
    assert idle_cost(extras, bucket_bytes=2 * 10**9, images_bytes=10**10) == Decimal("1.049")
    assert idle_cost(Extras(), bucket_bytes=0, images_bytes=0) == 0
    assert idle_cost(Extras(), bucket_bytes=1, images_bytes=0) is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("0.4032", "$0.4032"),
        ("0.5", "$0.50"),
        ("0.00004", "under $0.0001"),
        ("0.0042", "$0.0042"),
        ("0.99996", "$1.00"),
        ("12.345", "$12.35"),
        ("1234.5", "$1,234.50"),
        ("-1.5", "-$1.50"),
    ],
)
def test_dollars_are_shown_to_the_digit_that_matters(amount: str, text: str) -> None:
    assert dollars(Decimal(amount)) == text


def test_an_hour_has_four_digits() -> None:
    assert dollars_per_hour(Decimal("0.4032")) == "$0.4032/h"
    assert dollars_per_hour(Decimal(98)) == "$98.0000/h"


def test_a_part_of_an_hour_is_counted_exactly() -> None:
    assert dollars_for(Decimal("0.3"), timedelta(minutes=20)) == Decimal("0.1")

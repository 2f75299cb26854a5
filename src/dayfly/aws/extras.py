"""What is paid beside a machine: its disk and address, and what is kept while no machine lives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal

from dayfly.aws import price_list
from dayfly.aws.cache import Cache, Fact
from dayfly.aws.client import Aws
from dayfly.aws.prices import PRICES_FOR
from dayfly.errors import AwsError


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What is paid beside the machine, in dollars; None where it could not be had."""

    disk_per_gib_month: Decimal | None = None
    address_per_hour: Decimal | None = None
    bucket_per_gb_month: Decimal | None = None
    images_per_gb_month: Decimal | None = None


def load_extras(aws: Aws, cache: Cache) -> Extras:
    """What is paid beside the machine. Four calls at once, cached for a week; what fails is None."""
    found = cache.find(f"extras {aws.region}", Fact[Extras], max_age=PRICES_FOR)
    if found is not None:
        return found.value
    asks = (
        price_list.ask_for_disk_price,
        price_list.ask_for_address_price,
        price_list.ask_for_bucket_price,
        price_list.ask_for_image_price,
    )

    def ask(number: int) -> Decimal | None:
        try:
            return asks[number](aws)
        except AwsError:
            return None

    with ThreadPoolExecutor(len(asks)) as threads:
        disk, address, bucket, images = threads.map(ask, range(len(asks)))
    extras = Extras(
        disk_per_gib_month=disk,
        address_per_hour=address,
        bucket_per_gb_month=bucket,
        images_per_gb_month=images,
    )
    if None not in (disk, address, bucket, images):
        cache.save(f"extras {aws.region}", Fact[Extras], extras)
    return extras

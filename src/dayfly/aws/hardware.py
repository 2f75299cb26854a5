"""What a machine is made of: type, image, disk, zones and price, found for what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from dayfly.aws.ami import Ami, find_ami
from dayfly.aws.base import BaseStack
from dayfly.aws.cache import Cache, open_cache
from dayfly.aws.choose import alternatives, choose_type
from dayfly.aws.client import Aws
from dayfly.aws.estimates import whole_price
from dayfly.aws.extras import load_extras
from dayfly.aws.fit import Arch, Wanted, count_gpus
from dayfly.aws.instance_types import InstanceType, load_instance_types
from dayfly.aws.offers import Choice, Offer
from dayfly.aws.prices import Price, SpotPrices, load_prices, load_spot_prices
from dayfly.aws.quotas import check_quota
from dayfly.aws.zones import subnets_with
from dayfly.errors import AwsError
from dayfly.project.settings import Settings

_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A machine to be. `price` is dollars an hour with disk and address; None when it is not known."""

    choice: Choice
    arch: Arch
    ami: Ami
    spot: bool
    disk_gib: int
    subnet_ids: tuple[str, ...]
    price: Price | None
    wanted: Wanted

    @property
    def instance_type(self) -> str:
        """Such as `m7i.2xlarge`."""
        return self.choice.type.name


def choose_hardware(
    aws: Aws, base: BaseStack, settings: Settings, *, arch: Arch | None, environ: Mapping[str, str]
) -> Hardware:
    """The machine that the settings ask for. One call when prices and types are cached.

    `arch` is that of the image; None when it is still to be built for whatever machine. Raises UsageError
    when nothing fits, and AwsError when no zone of the base stack's network has it, or the account's quota
    allows none.
    """
    cache = open_cache(aws, environ)
    wanted = Wanted(
        instance=settings.instance,
        cpus=settings.cpus,
        memory_bytes=settings.memory,
        gpus=count_gpus(settings.gpus),
        arch=arch,
        spot=settings.spot,
    )
    with ThreadPoolExecutor() as pool:
        pricing = pool.submit(_load_prices, aws, cache, wanted)
        extra = pool.submit(load_extras, aws, cache)
        types = load_instance_types(aws, cache)
        prices, spot_prices = pricing.result()
        choice = choose_type(wanted, types, prices, region=aws.region)
        chosen_arch = _arch_of(choice.type, arch)
        imaging = pool.submit(
            find_ami, aws, cache, arch=chosen_arch, gpus=bool(choice.type.gpus), setting=settings.aws.ami
        )
        quota = pool.submit(check_quota, aws, cache, choice.type, spot=settings.spot, account=base.account)
        subnets = _subnets(aws, cache, base, choice, spot_prices)
        quota.result()
        ami = imaging.result()
    disk_gib = max(-(-settings.disk // _GIB), ami.smallest_disk_gib)
    return Hardware(
        choice=choice,
        arch=chosen_arch,
        ami=ami,
        spot=settings.spot,
        disk_gib=disk_gib,
        subnet_ids=subnets,
        price=whole_price(choice.price, extra.result(), disk_gib=disk_gib),
        wanted=wanted,
    )


def find_alternatives(aws: Aws, hardware: Hardware, environ: Mapping[str, str]) -> tuple[Offer, ...]:
    """What would do in place of a machine that no zone has to spare, with prices. Raises AwsError."""
    cache = open_cache(aws, environ)
    any_type = replace(hardware.wanted, instance=None)
    prices, _ = _load_prices(aws, cache, any_type)
    return alternatives(hardware.instance_type, hardware.wanted, load_instance_types(aws, cache), prices)


def _load_prices(aws: Aws, cache: Cache, wanted: Wanted) -> tuple[Mapping[str, Price], SpotPrices | None]:
    if not wanted.spot:
        return load_prices(aws, cache, wanted.instance), None
    spot = load_spot_prices(aws, cache, wanted.instance)
    return spot.prices(), spot


def _arch_of(chosen: InstanceType, arch: Arch | None) -> Arch:
    if arch is not None:
        return arch
    return "arm64" if "arm64" in chosen.archs else "x86_64"


def _subnets(
    aws: Aws, cache: Cache, base: BaseStack, choice: Choice, spot_prices: SpotPrices | None
) -> tuple[str, ...]:
    zones = spot_prices.zones(choice.type.name) if spot_prices is not None else None
    subnets = subnets_with(aws, cache, base.subnet_ids, choice.type.name, spot_prices=zones)
    if not subnets:
        raise AwsError(
            f"No zone of this project's network has {choice.type.name}.",
            why=f"Its subnets are {', '.join(base.subnet_ids)}.",
            hint="Take another type (--instance), or a network with more zones: dayfly cloud up --network",
            code="NoZone",
        )
    return subnets

"""How many processors an account may run at once: AWS counts them by family, spot apart.

The codes are those of AWS's documentation ("Amazon EC2 instance type quotas"). They are the same in every
account and region; the values are not.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from dayfly.aws.cache import Cache, Fact
from dayfly.aws.client import Aws
from dayfly.aws.instance_types import InstanceType
from dayfly.errors import AwsError

QUOTAS_FOR = timedelta(days=1)
TOO_LOW = "QuotaTooLow"
"""The code of the error that `check_quota` raises."""
_LINK = "https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}"
_PREFIX = re.compile(r"(?P<letters>[a-z]+)(?P<generation>\d*)", re.ASCII)
_NEW_P = 5
_ALIVE = ["pending", "running"]


@dataclass(frozen=True, kw_only=True)
class Quota:
    """One of EC2's limits. `families` is AWS's own word for the types that it counts."""

    code: str
    families: str
    spot: bool

    @property
    def name(self) -> str:
        """As the console lists it."""
        families = self.families
        return (
            f"All {families} Spot Instance Requests"
            if self.spot
            else f"Running On-Demand {families} instances"
        )

    @property
    def link(self) -> str:
        """Where an administrator asks for more."""
        return _LINK.format(code=self.code)


_STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"
_ON_DEMAND = {
    "DL": "L-6E869C2A",
    "F": "L-74FC7D96",
    "G and VT": "L-DB2E81BA",
    "HPC": "L-F7808C92",
    "High Memory": "L-43DA4232",
    "Inf": "L-1945791B",
    "P": "L-417A185B",
    _STANDARD: "L-1216C47A",
    "Trn": "L-2C3B7624",
    "X": "L-7295265B",
}
_SPOT = {
    "DL": "L-85EED4F7",
    "F": "L-88CF9481",
    "G and VT": "L-3819A6DF",
    "Inf": "L-B5D1601B",
    "P4, P3 and P2": "L-7212CCBC",
    "P5": "L-C4BD4855",
    _STANDARD: "L-34B43A08",
    "Trn": "L-6B0D517C",
    "X": "L-E3A00192",
}
_FAMILIES = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), _STANDARD),
    **dict.fromkeys(("g", "gr", "vt"), "G and VT"),
    "dl": "DL",
    "f": "F",
    "hpc": "HPC",
    "inf": "Inf",
    "p": "P",
    "trn": "Trn",
    "u": "High Memory",
    "x": "X",
}
"""By the letters with which a type's name begins."""


def quota_for(instance_type: str, *, spot: bool) -> Quota | None:
    """The quota that counts a type; None when none is known for it."""
    match = _PREFIX.match(instance_type)
    families = _FAMILIES.get(match["letters"]) if match else None
    if match is None or families is None:
        return None
    if spot and families == "P":  # AWS counts what came since P5 apart
        families = "P5" if int(match["generation"] or 0) >= _NEW_P else "P4, P3 and P2"
    code = (_SPOT if spot else _ON_DEMAND).get(families)
    return Quota(code=code, families=families, spot=spot) if code else None


def load_quota(aws: Aws, cache: Cache, quota: Quota, *, account: str) -> Decimal:
    """How many processors the quota allows. Cached for a day. Raises AwsError."""
    return cache.remember(
        _key(aws, quota, account), Fact[Decimal], max_age=QUOTAS_FOR, load=lambda: _ask(aws, quota)
    ).value


def _ask(aws: Aws, quota: Quota) -> Decimal:
    said = aws.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=quota.code)
    value = said["Quota"].get("Value")
    if value is None:
        raise AwsError(
            f"AWS does not say what the quota {quota.name} is.",
            code="NoSuchResourceException",
            operation="GetServiceQuota",
        )
    return Decimal(str(value))


def _key(aws: Aws, quota: Quota, account: str) -> str:
    """Accounts differ, and the number of none is written down."""
    return f"quota {aws.region} {hashlib.sha256(account.encode()).hexdigest()[:16]} {quota.code}"


def check_quota(aws: Aws, cache: Cache, one: InstanceType, *, spot: bool, account: str) -> None:
    """Raise AwsError (code TOO_LOW) when the account may not run even one machine of this type.

    At most one call, none when cached and enough; what is too low is asked for anew, since it may have been
    raised since. Where the quota cannot be read, nothing is said: EC2 itself decides in the end.
    """
    quota = quota_for(one.name, spot=spot)
    if quota is None:
        return
    key = _key(aws, quota, account)
    known = cache.find(key, Fact[Decimal], max_age=QUOTAS_FOR)
    if known is not None and known.value >= one.vcpus:
        return
    try:
        allowed = cache.save(key, Fact[Decimal], _ask(aws, quota)).value
    except AwsError:
        return
    if allowed < one.vcpus:
        raise too_low(quota, allowed, one, region=aws.region)


def too_low(quota: Quota, allowed: Decimal, one: InstanceType, *, region: str) -> AwsError:
    """The error: what is allowed, what is needed, and where more is asked for."""
    return AwsError(
        f"This account may run {int(allowed)} vCPUs of the kind of {one.name} in {region}; "
        f"one machine needs {one.vcpus}.",
        why=f"The quota is called: {quota.name}.",
        hint=f"Ask AWS for {one.vcpus} or more, in the console's region {region}:\n{quota.link}",
        code=TOO_LOW,
        operation="GetServiceQuota",
    )


def count_running_vcpus(aws: Aws, quota: Quota) -> int:
    """How many processors of the quota's families run now: a call for each thousand machines, for doctor."""
    pages = aws.ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": _ALIVE}]
    )
    total = 0
    for page in pages:
        for reservation in page.get("Reservations", []):
            for instance in reservation.get("Instances", []):
                spot = instance.get("InstanceLifecycle") == "spot"
                counted = quota_for(instance.get("InstanceType", ""), spot=spot)
                if counted == quota:
                    cpus = instance.get("CpuOptions", {})
                    total += cpus.get("CoreCount", 0) * cpus.get("ThreadsPerCore", 1)
    return total

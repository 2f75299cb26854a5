"""What machines EC2 has in a region: processors, memory, GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from dayfly.aws.cache import Cache, Fact
from dayfly.aws.client import Aws

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeInfoTypeDef

TYPES_FOR = timedelta(days=7)
_MIB = 1 << 20
_GB = 10**9
_SPECIAL = ("FpgaInfo", "InferenceAcceleratorInfo", "NeuronInfo", "MediaAcceleratorInfo")


@dataclass(frozen=True, kw_only=True)
class InstanceType:
    """One type of instance, as EC2 describes it. Sizes are bytes; those of GPUs and disks are sums."""

    name: str
    vcpus: int
    memory_bytes: int
    archs: tuple[str, ...]
    """EC2's words: `x86_64`, `arm64`, `i386`, …"""
    gpus: int = 0
    """Whole ones: 0 where several machines share one."""
    gpu_memory_bytes: int = 0
    gpu_name: str = ""
    gpu_maker: str = ""
    gpu_share: float = 1.0
    """How much of a GPU each of its GPUs is: below 1 where several machines share one."""
    special: bool = False
    """Made for one kind of work: FPGAs, accelerators that are no GPUs, clusters."""
    burstable: bool = False
    bare_metal: bool = False
    current_generation: bool = True
    local_disk_bytes: int = 0
    """Disks that go with the machine, beside its EBS volume."""
    on_demand: bool = True
    spot: bool = True

    @property
    def family(self) -> str:
        """`m7i` of `m7i.2xlarge`: types of one family share what capacity there is."""
        return self.name.partition(".")[0]


def load_instance_types(aws: Aws, cache: Cache) -> Mapping[str, InstanceType]:
    """Every type that the region has, by name. Cached for a week. Raises AwsError.

    Some ten calls when it is not cached: EC2 describes a hundred types a page.
    """
    return cache.remember(
        f"types {aws.region}",
        Fact[dict[str, InstanceType]],
        max_age=TYPES_FOR,
        load=lambda: _describe_all(aws),
    ).value


def _describe_all(aws: Aws) -> dict[str, InstanceType]:
    pages = aws.ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 100})
    read = (read_instance_type(info) for page in pages for info in page.get("InstanceTypes", []))
    return {one.name: one for one in read if one is not None}


def read_instance_type(info: InstanceTypeInfoTypeDef) -> InstanceType | None:
    """One answer of EC2 as a value; None for one that lacks what a machine is, or is of no use here.

    Every machine boots from an encrypted EBS volume of a Linux image, which needs EBS and HVM.
    """
    name = info.get("InstanceType")
    vcpus = info.get("VCpuInfo", {}).get("DefaultVCpus")
    memory = info.get("MemoryInfo", {}).get("SizeInMiB")
    usable = (
        "ebs" in info.get("SupportedRootDeviceTypes", ["ebs"])
        and "hvm" in info.get("SupportedVirtualizationTypes", ["hvm"])
        and info.get("SupportedInRegion", True)
    )
    if not (name and vcpus and memory and usable):
        return None
    devices = info.get("GpuInfo", {}).get("Gpus", [])
    first = devices[0] if devices else {}
    usage = info.get("SupportedUsageClasses", ["on-demand", "spot"])
    return InstanceType(
        name=name,
        vcpus=vcpus,
        memory_bytes=memory * _MIB,
        archs=tuple(info.get("ProcessorInfo", {}).get("SupportedArchitectures", [])),
        gpus=sum(device.get("Count", 0) for device in devices),
        gpu_memory_bytes=info.get("GpuInfo", {}).get("TotalGpuMemoryInMiB", 0) * _MIB,
        gpu_name=first.get("Name", ""),
        gpu_maker=first.get("Manufacturer", ""),
        gpu_share=first.get("GpuPartitionSize", 1.0) or 1.0,
        special=any(part in info for part in _SPECIAL) or name.startswith("hpc"),
        burstable=info.get("BurstablePerformanceSupported", False),
        bare_metal=info.get("BareMetal", False),
        current_generation=info.get("CurrentGeneration", True),
        local_disk_bytes=info.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0) * _GB,
        on_demand="on-demand" in usage,
        spot="spot" in usage,
    )

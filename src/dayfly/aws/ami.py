"""Which machine image: AWS's own, by the public parameter that names the newest, or the project's.

Amazon Linux 2023 has what the boot script needs; with GPUs it is AWS's Deep Learning Base AMI, the same
system with NVIDIA's open drivers, Docker and its NVIDIA runtime.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from dayfly.aws.cache import Cache, Fact
from dayfly.aws.client import Aws
from dayfly.aws.fit import Arch
from dayfly.errors import AwsError

_PLAIN = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}"
_GPU = "/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
_FACTS_FOR = timedelta(days=365)
"""What an image holds never changes."""
_ID = re.compile(r"ami-[0-9a-f]{8,32}", re.ASCII)
_HINT = 'Name one that is there: [aws] ami = "ami-…" or an SSM parameter\'s name in dayfly.toml'


@dataclass(frozen=True, kw_only=True)
class Ami:
    """A machine image. What is not known of it is empty or 0."""

    id: str
    arch: str = ""
    root_device: str = ""
    """The name under which the machine knows its disk, such as /dev/xvda."""
    smallest_disk_gib: int = 0
    """The size of what it is made from: no machine's disk can be smaller."""


def parameter_for(*, arch: Arch, gpus: bool) -> str:
    """The public SSM parameter that names the newest image."""
    return (_GPU if gpus else _PLAIN).format(arch=arch)


def find_ami(aws: Aws, cache: Cache, *, arch: Arch, gpus: bool = False, setting: str | None = None) -> Ami:
    """The image for machines of `arch`; `setting` is the project's own: an id, or an SSM parameter's name.

    At most two calls. Raises AwsError when there is no such image, or it is for other processors.
    """
    if setting is not None and setting.startswith("ami-"):
        ami = _describe(aws, cache, setting)
    else:
        name = setting.removeprefix("resolve:ssm:") if setting else parameter_for(arch=arch, gpus=gpus)
        ami = _describe(aws, cache, _read_parameter(aws, name))
    if ami.arch and ami.arch != arch:
        raise AwsError(
            f"The machine image {ami.id} is for {ami.arch}, and the machine has {arch} processors.",
            why=f"It is what [aws] ami names: {setting}." if setting else "",
            hint="Name one for these processors in [aws] ami, or take the setting out of dayfly.toml.",
            code="WrongArchitecture",
        )
    return ami


def _read_parameter(aws: Aws, name: str) -> str:
    try:
        value = aws.ssm.get_parameter(Name=name)["Parameter"].get("Value", "")
    except AwsError as error:
        if error.code not in {"ParameterNotFound", "ParameterVersionNotFound", "ValidationException"}:
            raise
        raise AwsError(
            f"{aws.region} has no machine image under the SSM parameter {name}.",
            why=error.message,
            hint=_HINT,
            code=error.code,
            operation=error.operation,
            message=error.message,
        ) from error
    if not _ID.fullmatch(value):
        raise AwsError(
            f"The SSM parameter {name} names no machine image.",
            why=f"It holds {value[:60]!r}; an image's id is like ami-0123456789abcdef0.",
            hint=_HINT,
            code="NoImage",
        )
    return value


def _describe(aws: Aws, cache: Cache, ami_id: str) -> Ami:
    """Of an image whose parameter AWS keeps and that it does not describe, the id is all we know."""
    try:
        return cache.remember(
            f"ami {aws.region} {ami_id}",
            Fact[Ami],
            max_age=_FACTS_FOR,
            load=lambda: _ask_for_image(aws, ami_id),
        ).value
    except AwsError as error:
        if not error.code.startswith("InvalidAMIID"):
            raise
        raise AwsError(
            f"{aws.region} has no machine image {ami_id}, or it is not shared with this account.",
            why="An image's id is another one in each region.",
            hint=_HINT,
            code=error.code,
            operation=error.operation,
            message=error.message,
        ) from error
    except LookupError:
        return Ami(id=ami_id)


def _ask_for_image(aws: Aws, ami_id: str) -> Ami:
    image = aws.ec2.describe_images(ImageIds=[ami_id])["Images"][0]
    root = image.get("RootDeviceName", "")
    sizes = [
        mapping.get("Ebs", {}).get("VolumeSize", 0)
        for mapping in image.get("BlockDeviceMappings", [])
        if mapping.get("DeviceName") == root
    ]
    return Ami(
        id=ami_id,
        arch=image.get("Architecture", ""),
        root_device=root,
        smallest_disk_gib=max(sizes, default=0),
    )

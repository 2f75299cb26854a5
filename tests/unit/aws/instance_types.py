"""What EC2 says of its types, as moto ships it: 1,395 types of us-east-1 in EC2's own form."""

from __future__ import annotations

import gzip
import importlib.resources
import json
from functools import cache
from typing import Any

from dayfly.aws.instance_types import InstanceType, read_instance_type


@cache
def ec2_answers() -> dict[str, Any]:
    """By type."""
    file = importlib.resources.files("moto.ec2") / "resources" / "instance_types.json.gz"
    answers: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return answers


@cache
def real_types() -> dict[str, InstanceType]:
    """By name."""
    read = (read_instance_type(info) for info in ec2_answers().values())
    return {one.name: one for one in read if one is not None}

"""Instance types and where they are offered: real, from moto's data files, which are read and not run."""

from __future__ import annotations

import gzip
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any


def _folder() -> Path:
    found = importlib.util.find_spec("moto")
    if found is None or not found.submodule_search_locations:
        raise ImportError("moto")
    return Path(found.submodule_search_locations[0])


def _load(path: str) -> Any:
    return json.loads(gzip.decompress((_folder() / path).read_bytes()))


@cache
def instance_types() -> dict[str, dict[str, Any]]:
    """Type → what DescribeInstanceTypes says of it."""
    types: dict[str, dict[str, Any]] = _load("ec2/resources/instance_types.json.gz")
    return types


@cache
def offerings(kind: str, region: str) -> list[dict[str, str]]:
    """What DescribeInstanceTypeOfferings says; `kind` is its LocationType, such as `availability-zone`."""
    try:
        found: list[dict[str, str]] = _load(f"ec2/resources/instance_type_offerings/{kind}/{region}.json.gz")
    except FileNotFoundError:
        return []
    return found


@cache
def latest_images(region: str) -> dict[str, str]:
    """Amazon Linux's public parameters: name → image id, as they once were."""
    try:
        said = _load(f"ssm/resources/ami-amazon-linux-latest/{region}.json.gz")
    except FileNotFoundError:
        return {}
    return {one["Name"]: one["Value"] for one in said}

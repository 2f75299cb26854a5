"""Where in AWS a sweep on Batch goes: found out already."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.runs.store import Store


@dataclass(frozen=True, kw_only=True)
class BatchTarget:
    """Where in AWS a sweep goes; `store` is the project's bucket."""

    aws: Aws
    base: BaseStack
    store: Store

"""Whose credentials these are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dayfly.aws.client import Aws


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The account, the caller's ARN, and the partition: `aws`, `aws-cn`, `aws-us-gov`."""

    account: str
    arn: str
    partition: str

    @property
    def owner(self) -> str:
        """The caller's name, as a person has it: the last part of the ARN."""
        return self.arn.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def load_identity(aws: Aws) -> Identity:
    """Ask AWS who we are. Raises AwsError when the credentials are no good."""
    told = aws.sts.get_caller_identity()
    return Identity(account=told["Account"], arn=told["Arn"], partition=told["Arn"].split(":")[1])

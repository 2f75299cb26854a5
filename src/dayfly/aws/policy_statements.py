"""How the policies of people are written: the ARNs of a project, and statements that allow something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dayfly.aws.names import Role, base_stack_name, bucket_name, repository_name, role_name

Document = dict[str, Any]
"""An IAM policy document, or a statement of one, as JSON has it."""


@dataclass(frozen=True, kw_only=True)
class Arns:
    """The ARNs of one project in one region of one account."""

    project: str
    account: str
    region: str

    def here(self, service: str, resource: str) -> str:
        """A resource of this account in this region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def iam(self, resource: str) -> str:
        """A resource of IAM, which knows no regions."""
        return f"arn:{self.partition}:iam::{self.account}:{resource}"

    def role(self, role: Role) -> str:
        """One of the base stack's roles."""
        return self.iam(f"role/{role_name(self.project, self.region, role)}")

    @property
    def partition(self) -> str:
        """`aws`, but for China and the American government."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def ec2(self) -> str:
        """What EC2 is called as a service that takes roles."""
        return f"ec2.amazonaws.com{'.cn' if self.partition == 'aws-cn' else ''}"

    @property
    def base_stack(self) -> str:
        """The base stack, whatever its id."""
        return self.here("cloudformation", f"stack/{base_stack_name(self.project)}/*")

    @property
    def machine_stacks(self) -> str:
        """The stacks of this project's machines, and of no other's (see `names`)."""
        return self.here("cloudformation", f"stack/{base_stack_name(self.project)}--*/*")

    @property
    def bucket(self) -> str:
        """The bucket itself; its objects lie under `/`."""
        return f"arn:{self.partition}:s3:::{bucket_name(self.project, self.account, self.region)}"

    @property
    def repository(self) -> str:
        """The image repository."""
        return self.here("ecr", f"repository/{repository_name(self.project)}")

    @property
    def mirror(self) -> str:
        """The CodeCommit repository, whether there is one or not."""
        return self.here("codecommit", base_stack_name(self.project))


def allow(
    sid: str,
    service: str,
    actions: str,
    resources: str | Sequence[str],
    condition: Mapping[str, Any] | None = None,
) -> Document:
    """A statement. `actions` are names without their service, with white space between them."""
    named = [f"{service}:{action}" for action in actions.split()]
    statement: Document = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": named[0] if len(named) == 1 else named,
        "Resource": resources if isinstance(resources, str) else list(resources),
    }
    return statement if condition is None else {**statement, "Condition": dict(condition)}


def equals(key: str, value: str | Sequence[str]) -> Document:
    """The condition that a key of the request is this, or one of these."""
    return {"StringEquals": {key: value if isinstance(value, str) else list(value)}}


def document(*parts: Sequence[Document]) -> Document:
    """A policy of these statements."""
    return {"Version": "2012-10-17", "Statement": [statement for part in parts for statement in part]}

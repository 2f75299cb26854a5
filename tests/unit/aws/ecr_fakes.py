"""An image repository of paper, and the AWS that has it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3

from dayfly.aws.base import BaseStack
from dayfly.aws.client import Aws
from dayfly.errors import AwsError

NOW = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
TOKEN = base64.b64encode(b"AWS:canary-of-a-token").decode()
HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
BASE = BaseStack(
    project="it",
    region="eu-west-1",
    account="123456789012",
    stack_id="arn:aws:cloudformation:eu-west-1:123456789012:stack/dayfly-it/1",
    status="CREATE_COMPLETE",
    version=2,
    bucket="dayfly-it-123456789012-eu-west-1",
    repository_uri=f"{HOST}/dayfly/it",
    cloudformation_role_arn="arn:aws:iam::123456789012:role/dayfly-it-eu-west-1-cloudformation",
    scheduler_role_arn="arn:aws:iam::123456789012:role/dayfly-it-eu-west-1-scheduler",
    schedule_group="dayfly-it",
    run_profile="dayfly-it-eu-west-1-run",
    access_profile="dayfly-it-eu-west-1-access",
    build_profile="dayfly-it-eu-west-1-build",
    lab_profile="dayfly-it-eu-west-1-lab",
    launch_template="lt-1",
    launch_template_version="1",
    access_launch_template="lt-2",
    access_launch_template_version="1",
    vpc_id="vpc-1",
    subnet_ids=("subnet-1", "subnet-2"),
)


@dataclass
class FakeEcr:
    """Images by tag: digest and when it was pushed."""

    images: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        self.asked.append("describe")
        assert repositoryName == "dayfly/it"
        wanted = imageIds[0]
        for tag, (digest, pushed) in self.images.items():
            if wanted in ({"imageTag": tag}, {"imageDigest": digest}):
                return {"imageDetails": [self._detail(tag, digest, pushed)]}
        raise AwsError("no", code="ImageNotFoundException", operation="DescribeImages")

    def get_paginator(self, operation: str) -> FakeEcr:
        assert operation == "describe_images"
        return self

    def paginate(self, repositoryName: str) -> list[dict[str, Any]]:  # noqa: N803
        assert repositoryName == "dayfly/it"
        return [{"imageDetails": [self._detail(tag, *one)]} for tag, one in self.images.items()]

    def get_authorization_token(self) -> dict[str, Any]:
        self.asked.append("token")
        return {"authorizationData": [{"authorizationToken": TOKEN, "proxyEndpoint": f"https://{HOST}"}]}

    @staticmethod
    def _detail(tag: str, digest: str, pushed: datetime) -> dict[str, Any]:
        return {
            "imageDigest": digest,
            "imageTags": [tag],
            "imageSizeInBytes": 7,
            "imagePushedAt": pushed,
        }


def aws_with(ecr: FakeEcr) -> Aws:
    """An AWS whose image repository is `ecr`, and which has nothing else."""
    return Aws(
        session=boto3.Session(region_name="eu-west-1"),
        region="eu-west-1",
        now=lambda: NOW,
        sleep=lambda _: None,
        _clients={("ecr", "eu-west-1"): ecr},
    )

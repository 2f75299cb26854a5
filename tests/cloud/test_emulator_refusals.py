"""What CloudFormation refuses in the emulated AWS, where ministack alone would not."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from botocore.exceptions import WaiterError

from dayfly.aws.client import Aws
from dayfly.errors import AwsError
from tests.cloud.stacks import wait


def _refused(aws: Aws, template: Mapping[str, object], **more: object) -> AwsError:
    with pytest.raises(AwsError) as caught:
        aws.cloudformation.create_stack(
            StackName="refused",
            TemplateBody=json.dumps(template),
            **more,  # type: ignore[arg-type]
        )
    return caught.value


def test_a_reference_to_nothing_is_refused(aws: Aws) -> None:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "Nothing"}}}
    assert "Unresolved resource dependencies [Nothing]" in _refused(aws, {"Resources": {"T": topic}}).message


def test_parameters_must_be_those_of_the_template(aws: Aws) -> None:
    template = {"Parameters": {"A": {"Type": "String"}}, "Resources": {"T": {"Type": "AWS::SNS::Topic"}}}
    assert "[A] must have values" in _refused(aws, template).message
    given = [{"ParameterKey": key, "ParameterValue": "x"} for key in ("A", "B")]
    assert "[B] do not exist" in _refused(aws, template, Parameters=given).message


def test_named_roles_need_the_capability(aws: Aws) -> None:
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": "r",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
        },
    }
    refused = _refused(aws, {"Resources": {"R": role}}, Capabilities=["CAPABILITY_IAM"])
    assert refused.code == "InsufficientCapabilitiesException"


def test_the_same_token_begins_one_stack(aws: Aws) -> None:
    template = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}})
    made = [
        aws.cloudformation.create_stack(StackName="s", TemplateBody=template, ClientRequestToken="t")[
            "StackId"
        ]
        for _ in range(2)
    ]
    assert made[0] == made[1]
    with pytest.raises(AwsError) as caught:
        aws.cloudformation.create_stack(StackName="s", TemplateBody=template, ClientRequestToken="u")
    assert caught.value.code == "AlreadyExistsException"


def test_a_bucket_with_an_old_version_is_not_deleted(aws: Aws) -> None:
    bucket = {
        "Type": "AWS::S3::Bucket",
        "Properties": {"BucketName": "full", "VersioningConfiguration": {"Status": "Enabled"}},
    }
    template = json.dumps({"Resources": {"B": bucket}})
    stack = aws.cloudformation.create_stack(StackName="s", TemplateBody=template)["StackId"]
    wait(aws, stack, "stack_create_complete")
    aws.s3.put_object(Bucket="full", Key="k", Body=b"1")
    aws.s3.delete_object(Bucket="full", Key="k")
    aws.cloudformation.delete_stack(StackName=stack)
    with pytest.raises(WaiterError, match="DELETE_FAILED"):
        wait(aws, stack, "stack_delete_complete")
    versions = aws.s3.list_object_versions(Bucket="full")
    for version in versions["Versions"]:
        aws.s3.delete_object(Bucket="full", Key="k", VersionId=version["VersionId"])
    for marker in versions["DeleteMarkers"]:
        aws.s3.delete_object(Bucket="full", Key="k", VersionId=marker["VersionId"])
    aws.cloudformation.delete_stack(StackName=stack)
    wait(aws, stack, "stack_delete_complete")

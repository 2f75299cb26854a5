"""Resource types that ministack has, but not quite as AWS: profiles, roles, buckets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import iam, s3
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]


def install() -> None:
    """Wrap ministack's own handlers."""
    _profiles(provisioners._RESOURCE_HANDLERS["AWS::IAM::InstanceProfile"])
    _boundaries(provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"])
    _buckets(provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"])


def _profiles(handlers: dict[str, Any]) -> None:
    """`Ref` is the profile's name (aws-resource-iam-instanceprofile.html), where ministack gives its ARN."""
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    def arn(name: str) -> str:
        found = iam._instance_profiles.get(name)
        return str(found["Arn"]) if found else name

    def create_named(logical_id: str, properties: Properties, stack: str) -> tuple[str, dict[str, str]]:
        made, attributes = create(logical_id, properties, stack)
        return made.rpartition("/")[2], attributes

    def update_named(
        name: str, old: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> Any:
        made, attributes = update(arn(name), old, new, stack, logical_id)
        return made.rpartition("/")[2], attributes

    def delete_named(name: str, properties: Properties) -> None:
        delete(arn(name), properties)

    handlers |= {"create": create_named, "update": update_named, "delete": delete_named}


def _boundaries(handlers: dict[str, Any]) -> None:
    """A role keeps its PermissionsBoundary (aws-resource-iam-role.html), which ministack then enforces."""

    def bounding(original: Callable[..., Any], properties_at: int) -> Callable[..., Any]:
        def bounded(*arguments: Any, **named: Any) -> Any:
            boundary = arguments[properties_at].get("PermissionsBoundary")
            if boundary and (problem := iam._boundary_policy_error(boundary)):
                raise ValueError(problem[2].decode())
            made = original(*arguments, **named)
            iam._roles[made[0]]["PermissionsBoundary"] = boundary
            return made

        return bounded

    handlers["create"] = bounding(handlers["create"], 1)
    handlers["update"] = bounding(handlers["update"], 2)


def _buckets(handlers: dict[str, Any]) -> None:
    """Tags are kept, and a bucket with anything in it, old versions too, is not deleted.

    https://repost.aws/knowledge-center/cloudformation-s3-custom-resources: "DELETE_FAILED: The bucket you
    tried to delete is not empty".
    """
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    def keep(name: str, properties: Properties) -> None:
        if tags := properties.get("Tags"):
            s3._bucket_tags[name] = {one["Key"]: one["Value"] for one in tags}
        if encryption := properties.get("BucketEncryption"):
            s3._bucket_encryption[name] = _encryption_xml(encryption)

    def create_kept(logical_id: str, properties: Properties, stack: str) -> Any:
        made = create(logical_id, properties, stack)
        keep(made[0], properties)
        return made

    def update_kept(name: str, old: Properties, new: Properties, stack: str) -> Any:
        made = update(name, old, new, stack)
        keep(made[0], new)
        return made

    def delete_empty(name: str, properties: Properties) -> None:
        if _holds_something(name):
            raise ValueError(
                "The bucket you tried to delete is not empty. You must delete all versions in the bucket. "
                "(Service: S3, Status Code: 409, Error Code: BucketNotEmpty)"
            )
        delete(name, properties)

    handlers |= {"create": create_kept, "update": update_kept, "delete": delete_empty}
    provisioners._STACK_TAG_PROPERTY.setdefault("AWS::S3::Bucket", ("Tags", "list"))


def _holds_something(name: str) -> bool:
    bucket = s3._buckets.get(name)
    return bucket is not None and bool(bucket["objects"] or s3._bucket_has_versions(name))


def _encryption_xml(encryption: Properties) -> str:
    rules = "".join(
        "<Rule><ApplyServerSideEncryptionByDefault>"
        f"<SSEAlgorithm>{rule['ServerSideEncryptionByDefault']['SSEAlgorithm']}</SSEAlgorithm>"
        "</ApplyServerSideEncryptionByDefault></Rule>"
        for rule in encryption["ServerSideEncryptionConfiguration"]
    )
    return (
        '<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{rules}</ServerSideEncryptionConfiguration>"
    )

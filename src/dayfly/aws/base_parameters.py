"""What the base stack is made with: what was asked for, what it has already, and what AWS has to offer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dayfly.aws.names import PROJECT_TAG, base_stack_name, bucket_name, repository_name
from dayfly.errors import AwsError, UsageError

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.aws.stacks import Stack

NONE = "none"
"""Said in place of a value, takes away what the base stack has."""

_SUBNET = re.compile(r"subnet-[0-9a-f]+(,subnet-[0-9a-f]+)*")
_POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]+")
_TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]+")
_TYPES = re.compile(r"[a-z0-9.-]+(,[a-z0-9.-]+)*")
_PUBLIC_KEY = re.compile(r"(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/=]+( .*)?")


@dataclass(frozen=True, kw_only=True)
class BaseOptions:
    """What is asked of the base stack. None leaves a thing as it is: as the stack has it, or by default."""

    network: str | None = None
    """`default`, `create`, or ids of subnets with commas between."""
    mirror: bool | None = None
    ssh_public_key: str | None = None
    elastic_ip: bool | None = None
    permissions_boundary: str | None = None
    notebook_policies: str | None = None
    """ARNs with commas between."""
    notify_topic: str | None = None
    batch: bool | None = None
    """What sweeps on AWS Batch need."""
    batch_types: str | None = None
    """Families or types of instances for Batch, with commas between."""
    batch_max_vcpus: int | None = None


def read_public_key(file: Path) -> str:
    """The public key in `file`, or beside a private key in `file`: that one never leaves this machine.

    Raises UsageError when EC2 could not take it.
    """
    try:
        text = file.read_text(encoding="utf-8").strip()
        public = file.with_name(file.name + ".pub")
        if "PRIVATE KEY" in text.partition("\n")[0] and public.is_file():
            text = public.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The SSH key {file} cannot be read.", why=str(error)) from error
    if not _PUBLIC_KEY.fullmatch(text):
        raise UsageError(
            f"{file} is no public SSH key that EC2 takes.",
            why="It must be one line that begins with ssh-ed25519 or ssh-rsa.",
            hint=f"Make one with: ssh-keygen -t ed25519 -f {file.with_suffix('')}",
        )
    return text


def check_options(options: BaseOptions) -> None:
    """Refuse what cannot be right before AWS is asked. Raises UsageError."""
    _check(options.permissions_boundary, _POLICY_ARN, "--permissions-boundary", "the ARN of an IAM policy")
    for arn in (options.notebook_policies or NONE).split(","):
        _check(arn, _POLICY_ARN, "--notebook-policy", "the ARN of an IAM policy")
    _check(options.notify_topic, _TOPIC_ARN, "--notify-topic", "the ARN of an SNS topic")
    _check(options.batch_types, _TYPES, "--batch-types", "families or types of instances: c6i,m6i,r6i")
    if options.network not in {None, "default", "create"}:
        _check(options.network, _SUBNET, "--network", "default, create, or ids of subnets")


def _check(value: str | None, form: re.Pattern[str], flag: str, what: str) -> None:
    if value is not None and value != NONE and not form.fullmatch(value):
        raise UsageError(f"{flag} cannot be {value!r}.", why=f"It must be {what}.")


def plan_parameters(
    aws: Aws, *, project: str, account: str, options: BaseOptions, stack: Stack | None
) -> dict[str, str]:
    """The parameters that the options ask for. Reads AWS, changes nothing.

    Those of `stack`, where there is one, stay unless they are given again. Raises UsageError and AwsError.
    """
    check_options(options)
    bucket = bucket_name(project, account, aws.region)
    parameters = {
        **(stack.parameters if stack is not None else {}),
        "Project": project,
        "BucketName": bucket,
        "CreateBucket": _own(stack, "CreateBucket", exists=bucket_is_ours(aws, bucket, project)),
        "CreateRepository": _own(stack, "CreateRepository", exists=repository_is_ours(aws, project)),
    }
    if options.network is not None or stack is None:
        parameters |= _network(aws, options.network or "default")
    given = {
        "SshPublicKey": options.ssh_public_key,
        "PermissionsBoundary": options.permissions_boundary,
        "NotebookPolicyArns": options.notebook_policies,
        "NotifyTopicArn": options.notify_topic,
        "ElasticIp": None if options.elastic_ip is None else str(options.elastic_ip).lower(),
        "Batch": None if options.batch is None else str(options.batch).lower(),
        "BatchInstanceTypes": options.batch_types,
        "BatchMaxVcpus": None if options.batch_max_vcpus is None else str(options.batch_max_vcpus),
    }
    parameters |= {key: "" if value == NONE else value for key, value in given.items() if value is not None}
    return parameters | _mirror(aws, project, options.mirror, stack)


def _own(stack: Stack | None, parameter: str, *, exists: bool) -> str:
    """Whether the stack makes a thing. One there without it is taken over, one gone is made."""
    made_by_stack = stack is not None and stack.parameters.get(parameter) == "true"
    return str(made_by_stack or not exists).lower()


def bucket_is_ours(aws: Aws, bucket: str, project: str) -> bool:
    """Whether the bucket is there. Raises AwsError when it is another's."""
    try:
        tags = aws.s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    except AwsError as error:
        if error.code == "NoSuchBucket":
            return False
        if error.code != "NoSuchTagSet":
            raise
        tags = []
    _refuse_anothers(f"bucket {bucket}", {one["Key"]: one["Value"] for one in tags}, project)
    return True


def repository_is_ours(aws: Aws, project: str) -> bool:
    """Whether the image repository is there. Raises AwsError when it is another's."""
    name = repository_name(project)
    try:
        found = aws.ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    except AwsError as error:
        if error.code == "RepositoryNotFoundException":
            return False
        raise
    tags = aws.ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
    _refuse_anothers(f"image repository {name}", {one["Key"]: one["Value"] for one in tags}, project)
    return True


def mirror_is_ours(aws: Aws, project: str) -> bool:
    """Whether the CodeCommit repository is there. Raises AwsError when it is another's."""
    name = base_stack_name(project)
    try:
        found = aws.codecommit.get_repository(repositoryName=name)["repositoryMetadata"]
    except AwsError as error:
        if error.code == "RepositoryDoesNotExistException":
            return False
        raise
    tags = aws.codecommit.list_tags_for_resource(resourceArn=found["Arn"])["tags"]
    _refuse_anothers(f"CodeCommit repository {name}", tags, project)
    return True


def _refuse_anothers(what: str, tags: Mapping[str, str], project: str) -> None:
    if tags.get(PROJECT_TAG) != project:
        raise AwsError(
            f"There is a {what} already, and it is not this project's.",
            why=f"It does not bear the tag {PROJECT_TAG}={project}, so dayfly leaves it alone.",
            hint='Name the project otherwise: [aws] project = "name" in dayfly.toml; or, if yours, tag it.',
        )


def _mirror(aws: Aws, project: str, asked: bool | None, stack: Stack | None) -> dict[str, str]:  # noqa: FBT001 -- private, one caller
    """Whether CodeCommit has a repository for this project. A retained one is used again."""
    if asked is None:
        return {}
    if not asked:
        return {"CreateMirror": "false", "KeepMirror": "false"}
    creates = _own(stack, "CreateMirror", exists=mirror_is_ours(aws, project))
    return {"CreateMirror": creates, "KeepMirror": "false" if creates == "true" else "true"}


def _network(aws: Aws, asked: str) -> dict[str, str]:
    if asked == "create":
        return {"Network": "create", "VpcId": "", "SubnetIds": "", "Zones": _zones(aws)}
    if asked == "default":
        vpc = _default_vpc(aws)
        subnets = _subnets(aws, [{"Name": "vpc-id", "Values": [vpc]}])
        public = {name: zone for name, (_, zone, is_public) in subnets.items() if is_public}
        if not public:
            raise AwsError(
                f"No subnet of the default VPC {vpc} gives its machines public addresses.",
                why="A machine must reach S3, ECR and CloudFormation, and is reached by nobody.",
                hint="Let a network be made: --network create; or name a subnet that has a NAT gateway.",
            )
        return {
            "Network": "default",
            "VpcId": vpc,
            "SubnetIds": ",".join(sorted(public, key=public.__getitem__)),
        }
    names = asked.split(",")
    subnets = _subnets(aws, [{"Name": "subnet-id", "Values": names}])
    missing = [name for name in names if name not in subnets]
    if missing:
        raise UsageError(
            f"There is no subnet {missing[0]} in {aws.region}.",
            hint="See which there are with: aws ec2 describe-subnets",
        )
    vpcs = {vpc for vpc, _, _ in subnets.values()}
    if len(vpcs) > 1:
        raise UsageError(f"The subnets lie in several VPCs: {', '.join(sorted(vpcs))}.")
    return {"Network": "subnet", "VpcId": vpcs.pop(), "SubnetIds": asked}


def _zones(aws: Aws) -> str:
    """How many zones get a subnet: three where the region has them."""
    found = aws.ec2.describe_availability_zones(
        Filters=[
            {"Name": "state", "Values": ["available"]},
            {"Name": "zone-type", "Values": ["availability-zone"]},
        ]
    )
    return "3" if len(found["AvailabilityZones"]) >= 3 else "2"  # noqa: PLR2004 -- said above


def _default_vpc(aws: Aws) -> str:
    found = aws.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise AwsError(
            f"There is no default VPC in {aws.region}.",
            why="A machine needs a network that leads to AWS.",
            hint="Let one be made, which costs nothing: --network create; or name a subnet: --network ID",
        )
    return found[0]["VpcId"]


def _subnets(aws: Aws, filters: list[dict[str, object]]) -> dict[str, tuple[str, str, bool]]:
    """By id: VPC, zone, and whether machines get public addresses."""
    found = aws.ec2.describe_subnets(Filters=filters)["Subnets"]  # type: ignore[arg-type]
    return {
        one["SubnetId"]: (one["VpcId"], one["AvailabilityZone"], one.get("MapPublicIpOnLaunch", False))
        for one in found
    }

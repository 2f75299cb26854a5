"""An IAM user who may submit runs, for those who have no other way in. Its key goes straight to AWS's tool.

The key is held in memory between two calls; it reaches no log, no argument of a process and no stack.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dayfly.aws.names import PROJECT_TAG
from dayfly.errors import AwsError, UsageError

if TYPE_CHECKING:
    from dayfly.aws.client import Aws

_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_TIMEOUT_S = 60
_KEYS_AT_MOST = 2


@dataclass(frozen=True, kw_only=True)
class AccessKey:
    """A key of an IAM user. Its secret is in no text made of it."""

    user: str
    key_id: str
    secret: str = field(repr=False)


def check_user_name(name: str) -> None:
    """Refuse what IAM would, before anything is made. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name an IAM user.", why="It may have up to 64 letters, digits and + = , . @ _ -"
        )


def require_aws_cli(path: str | None = None) -> str:
    """The AWS CLI on `path` (default: PATH). Raises UsageError without it."""
    found = shutil.which("aws", path=path)
    if found is None:
        raise UsageError(
            "The AWS CLI is not installed.",
            why="It is what stores keys and gives them to Git; dayfly does neither itself.",
            hint="Install it: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
        )
    return found


def ensure_user(aws: Aws, *, project: str, name: str, policy_name: str, document: str) -> str:
    """The user with the policy of who submits runs; both are made, or brought up to date. Returns its ARN.

    Raises AwsError when there is a user of that name that is not this project's.
    """
    tags = [{"Key": PROJECT_TAG, "Value": project}]
    try:
        user = aws.iam.get_user(UserName=name)["User"]
    except AwsError as error:
        if error.code != "NoSuchEntity":
            raise
        path = f"/dayfly/{project}/"  # by it, the policy of who sets up tells this project's users
        user = aws.iam.create_user(UserName=name, Path=path, Tags=tags)["User"]  # type: ignore[arg-type]
    else:
        owner = {one["Key"]: one["Value"] for one in aws.iam.list_user_tags(UserName=name)["Tags"]}
        if owner.get(PROJECT_TAG) != project:
            raise AwsError(
                f"There is an IAM user {name} already, and it is not this project's.",
                why=f"It does not bear the tag {PROJECT_TAG}={project}, so dayfly leaves it alone.",
                hint="Choose another name: --iam-user NAME",
            )
    arn = _ensure_policy(aws, user["Arn"], policy_name, document, tags)
    aws.iam.attach_user_policy(UserName=name, PolicyArn=arn)
    return user["Arn"]


def _ensure_policy(aws: Aws, user_arn: str, name: str, document: str, tags: list[dict[str, str]]) -> str:
    """A managed policy: one written into the user may have 2048 characters only."""
    partition, account = user_arn.split(":")[1], user_arn.split(":")[4]
    arn = f"arn:{partition}:iam::{account}:policy/{name}"
    try:
        aws.iam.create_policy(PolicyName=name, PolicyDocument=document, Tags=tags)  # type: ignore[arg-type]
    except AwsError as error:
        if error.code != "EntityAlreadyExists":
            raise
        versions = aws.iam.list_policy_versions(PolicyArn=arn)["Versions"]
        for old in versions:
            if not old["IsDefaultVersion"]:  # there may be five
                aws.iam.delete_policy_version(PolicyArn=arn, VersionId=old["VersionId"])
        aws.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
    return arn


def has_room_for_key(aws: Aws, name: str) -> bool:
    """Whether the user may have another key: IAM allows two."""
    return len(aws.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]) < _KEYS_AT_MOST


def create_key(aws: Aws, name: str) -> AccessKey:
    """A new key of the user; AWS tells its secret this once. Raises AwsError."""
    if not has_room_for_key(aws, name):
        raise AwsError(
            f"The IAM user {name} has two access keys already, and AWS allows no third.",
            hint=f"See them with: aws iam list-access-keys --user-name {name}; delete one, and repeat.",
        )
    made = aws.iam.create_access_key(UserName=name)["AccessKey"]
    return AccessKey(user=name, key_id=made["AccessKeyId"], secret=made["SecretAccessKey"])


def store_key(
    aws: Aws, key: AccessKey, environ: Mapping[str, str], run: Callable[..., object] = subprocess.run
) -> None:
    """Hand the key to `aws configure`, by its standard input, under a profile of the user's name.

    Raises AwsError, in which nothing of the secret is told, when the tool refuses; the key is deleted then,
    since nobody has it.
    """
    command = [require_aws_cli(environ.get("PATH")), "configure", "--profile", key.user]
    answers = f"{key.key_id}\n{key.secret}\n{aws.region}\n\n"
    try:
        run(
            command,
            input=answers.encode(),
            check=True,
            capture_output=True,
            timeout=_TIMEOUT_S,
            env=dict(environ),
        )
    except (OSError, subprocess.SubprocessError) as error:
        failure = type(error).__name__
    else:
        return
    # Not in the handler: the error that it handles has the answers in it.
    aws.iam.delete_access_key(UserName=key.user, AccessKeyId=key.key_id)
    raise AwsError(
        f"The key of {key.user} could not be stored, and was deleted.",
        why=f"aws configure --profile {key.user} failed: {failure}.",
        hint="Try whether it works in this terminal: aws configure list",
    )

"""What things are called in AWS, so that whoever looks finds them, and policies can name them.

A project's name never has two hyphens in a row, so `dayfly-<project>--*` are the stacks of this
project's machines and of no other's: an IAM policy cannot tell more than a prefix.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from dayfly.errors import UsageError

Task = Literal["run", "build", "lab"]
Role = Literal["run", "access", "build", "lab", "cloudformation", "scheduler", "batch-job", "batch-instance"]

PROJECT_TAG = "dayfly:project"
RUN_TAG = "dayfly:run"
OWNER_TAG = "dayfly:owner"
DEADLINE_TAG = "dayfly:deadline"
TASK_TAG = "dayfly:task"
VERSION_TAG = "dayfly:version"

_PROJECT = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_LONGEST_PROJECT = 24
_LONGEST_BUCKET = 63
_NOT_IN_A_TAG = re.compile(r"[^\w +=.@:/-]")


def project_name(text: str) -> str:
    """The name of a project in AWS, from a folder's name or a setting: up to 24 of `a-z`, `0-9`, `-`.

    Raises UsageError when nothing is left of it.
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_PROJECT].strip("-")
    if not _PROJECT.fullmatch(name):
        raise UsageError(
            f"{text!r} cannot name a project in AWS.",
            why="It has no letter a-z and no digit.",
            hint='Name it in dayfly.toml: [aws] project = "name"',
        )
    return name


def base_stack_name(project: str) -> str:
    """The base stack; the schedule group has the same name."""
    return f"dayfly-{project}"


def machine_stack_name(project: str, machine_id: str, attempt: int = 1) -> str:
    """The stack of one machine. Never reused: another attempt, in another zone, has another name."""
    return f"dayfly-{project}--{machine_id}{'' if attempt == 1 else f'-{attempt}'}"


def schedule_name(machine_id: str, attempt: int = 1) -> str:
    """The deadline's schedule, in the project's schedule group. At most 64 characters."""
    return f"{machine_id}{'' if attempt == 1 else f'-{attempt}'}"


def bucket_name(project: str, account: str, region: str) -> str:
    """The project's bucket: known before it exists, so that policies can name it. At most 63 characters."""
    name = f"dayfly-{project}-{account}-{region}"
    if len(name) <= _LONGEST_BUCKET:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"dayfly-{project[:16].rstrip('-')}-{digest}-{account}-{region}"


def repository_name(project: str) -> str:
    """The image repository, and the CodeCommit mirror is called `dayfly-<project>`."""
    return f"dayfly/{project}"


def role_name(project: str, region: str, role: Role) -> str:
    """A role, and the instance profile of the same name. IAM knows no regions, so the name says it."""
    return f"dayfly-{project}-{region}-{role}"


def machine_tags(
    *, project: str, machine_id: str, owner: str, deadline: datetime, task: Task
) -> dict[str, str]:
    """The tags of a machine's stack, instance and volume: whose it is, and when it must be gone."""
    return {
        PROJECT_TAG: project,
        RUN_TAG: machine_id,
        OWNER_TAG: tag_value(owner),
        DEADLINE_TAG: deadline.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        TASK_TAG: task,
    }


def tag_value(text: str) -> str:
    """`text` as far as a tag can have it: 256 characters, no controls."""
    return _NOT_IN_A_TAG.sub("_", text)[:256]


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in the form that CloudFormation and EC2 take."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]

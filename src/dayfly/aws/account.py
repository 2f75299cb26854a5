"""From a project's settings to the AWS it means."""

from __future__ import annotations

from pathlib import Path

from dayfly.aws.client import Aws, open_aws
from dayfly.aws.names import project_name
from dayfly.project.load import Project


def open_project_aws(project: Project, *, profile: str | None = None, region: str | None = None) -> Aws:
    """The account and region of the project; `profile` and `region` are flags, which come first.

    Raises AwsError and MissingExtraError.
    """
    settings = project.settings.aws
    return open_aws(profile=profile or settings.profile, region=region or settings.region)


def aws_project_name(project: Project) -> str:
    """What the project is called in AWS. Raises UsageError."""
    named = project.settings.aws.project
    return project_name(named if named is not None else (project.root or Path.cwd()).name)

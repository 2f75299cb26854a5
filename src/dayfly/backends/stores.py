"""The two stores of a project: the one on this machine, and the bucket that its machines in AWS write to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dayfly.errors import UsageError
from dayfly.project.load import Project
from dayfly.runner.kernelspecs import home_directory
from dayfly.runs.store import Store, open_store

if TYPE_CHECKING:
    from dayfly.backends.creation import Submission

_S3 = "s3://"


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where a project's runs are. `open_cloud` is None where there is no bucket, or one store was chosen."""

    local: Store
    open_cloud: Callable[[], Store] | None = None

    @cached_property
    def cloud(self) -> Store | None:
        """The bucket, opened when it is first asked for: finding credentials may take seconds.

        Raises StoreError without credentials.
        """
        return self.open_cloud() if self.open_cloud is not None else None

    @property
    def words(self) -> str:
        """Where the runs are, for messages."""
        return self.local.url if self.open_cloud is None else f"{self.local.url} and in AWS"


def open_project_store(project: Project, environ: Mapping[str, str]) -> Store:
    """The store that the settings name, or the project's own, or the user's."""
    setting = project.settings.store
    if setting is None:
        if project.root is not None:
            return open_store(project.root / ".dayfly")
        return open_store(_user_data_directory(environ) / "dayfly")
    if "://" in setting:
        return open_store(setting)
    from_file = project.sources["store"].startswith(("dayfly.toml", "pyproject.toml"))
    return open_store(project.resolve(setting) if from_file else Path(setting).expanduser())


def store_for(project: Project, environ: Mapping[str, str], submission: Submission) -> Store:
    """Where what is submitted leaves its runs: the project's bucket for what AWS runs, else its store."""
    target = submission.target or submission.batch
    return target.store if target is not None else open_project_store(project, environ)


def _user_data_directory(environ: Mapping[str, str]) -> Path:
    if environ.get("XDG_DATA_HOME"):
        return Path(environ["XDG_DATA_HOME"])
    home = home_directory(environ)
    return home / "Library" / "Application Support" if sys.platform == "darwin" else home / ".local" / "share"


def project_stores(project: Project, environ: Mapping[str, str]) -> Stores:
    """The stores of the project; the cloud's is not opened yet.

    A store that a flag or the environment names is the only one. Raises StoreError.
    """
    bucket = project.settings.aws.bucket
    if bucket is not None and (project.settings.store or "").rstrip("/") == bucket_url(bucket):
        return Stores(local=cloud_store(project, environ))
    local = open_project_store(project, environ)
    chosen = project.sources["store"].startswith(("flag", "environment"))
    if chosen or bucket is None:
        return Stores(local=local)
    return Stores(local=local, open_cloud=lambda: cloud_store(project, environ))


def cloud_store(project: Project, environ: Mapping[str, str]) -> Store:
    """The bucket of the project's machines, with the project's profile and region.

    No request is made yet. Raises UsageError when the project has none, and StoreError without credentials.
    """
    del environ  # boto3 and obstore read the process's own
    settings = project.settings.aws
    if settings.bucket is None:
        raise UsageError(
            "This project has no bucket in AWS.",
            why="The setting [aws] bucket is not set.",
            hint="See what would be made with: dayfly cloud plan; make it with: dayfly cloud up",
        )
    return open_bucket(settings.bucket, profile=settings.profile, region=settings.region)


def open_bucket(bucket: str, *, profile: str | None = None, region: str | None = None) -> Store:
    """The store that is a bucket, as a whole."""
    from dayfly.runs.s3 import S3Clock, open_s3

    url = bucket_url(bucket)
    objects = open_s3(url, profile=profile, region=region)
    return Store(objects=objects, url=url, clock=S3Clock(region))


def bucket_url(bucket: str) -> str:
    """The URL of the store that is a bucket."""
    return f"{_S3}{bucket}"

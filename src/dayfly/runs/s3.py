"""S3 through obstore, with the credentials, region and endpoint the AWS CLI would use."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dayfly.errors import StoreError, UsageError
from dayfly.runs.compat import UTC

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

_ANSWERS_WITHIN_S = 5.0


class S3Clock:
    """The time by S3's clock, which is asked once; by our own where it does not answer."""

    def __init__(self, region: str | None = None) -> None:
        self._url = _endpoint() or f"https://s3.{region or 'us-east-1'}.amazonaws.com"
        self._ahead: timedelta | None = None

    def __call__(self) -> datetime:
        """Now, in UTC."""
        if self._ahead is None:
            said = _date_of(self._url)
            self._ahead = timedelta() if said is None else said - datetime.now(UTC)
        return datetime.now(UTC) + self._ahead


def _date_of(url: str) -> datetime | None:
    """The Date of an answer, which S3 gives to anybody, whatever it answers."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(url, method="HEAD"), timeout=_ANSWERS_WITHIN_S) as answer:  # noqa: S310 -- S3's, or the user's own
            date = answer.headers.get("Date")
    except HTTPError as error:
        date = error.headers.get("Date")
    except (OSError, HTTPException, ValueError):
        return None
    try:
        said = parsedate_to_datetime(str(date))
    except (TypeError, ValueError):
        return None
    return said if said.tzinfo is not None else None


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def open_s3(
    url: str,
    *,
    profile: str | None = None,
    region: str | None = None,
    instance_credentials: bool = False,
    find: Callable[[str], object | None] = find_spec,
) -> S3Store:
    """The store behind `s3://bucket/prefix`, with a profile and in a region where these are named.

    Without a profile, keys in the environment are used as they are; anything else (profiles, SSO, assumed
    roles, instance roles) is what boto3 finds. With `instance_credentials`, where `find` finds no boto3, as
    in images, it is what the instance's metadata service gives, renewed as it expires. Raises UsageError
    for a URL without a bucket and StoreError when there are no credentials.
    """
    from obstore.store import S3Store

    parts = urlsplit(url)
    if not parts.netloc:
        raise UsageError(f"{url!r} names no bucket.", hint="Write s3://bucket/prefix.")
    endpoint = _endpoint()
    options: ClientConfig = {}
    config: S3Config = {}
    if endpoint:
        config["endpoint"] = endpoint
        # Only ever an endpoint that the user gave; AWS itself is reached over TLS.
        options["allow_http"] = endpoint.startswith("http://")
    if region is not None:
        config["region"] = region
    prefix = parts.path.strip("/") or None
    if profile is None and os.environ.get("AWS_ACCESS_KEY_ID"):
        return S3Store(parts.netloc, prefix=prefix, config=config, client_options=options)
    if instance_credentials and find("boto3") is None:
        metadata = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        if metadata:
            config["metadata_endpoint"] = metadata.rstrip("/")
        return S3Store(parts.netloc, prefix=prefix, config=config, client_options=options)
    return _with_boto3(parts.netloc, prefix, profile, config, options)


def _with_boto3(
    bucket: str, prefix: str | None, profile: str | None, config: S3Config, options: ClientConfig
) -> S3Store:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise StoreError(
            f"No AWS credentials for s3://{bucket} in the environment.",
            why="Profiles, SSO and roles are read by boto3, which is not installed.",
            hint="Install it, in a clone of dayfly, with: pip install '.[aws]'",
        ) from error
    from obstore.store import S3Store

    try:
        session = boto3.Session(profile_name=profile)
        credentials = session.get_credentials()
    except BotoCoreError as error:  # a profile that is not there, or lacks something
        raise StoreError(f"The AWS credentials for s3://{bucket} cannot be read.", why=str(error)) from error
    if credentials is None:
        raise StoreError(
            f"No AWS credentials for s3://{bucket}.",
            why="Neither the environment nor the AWS configuration files have any.",
            hint="Try: aws sso login, or aws configure",
        )
    if session.region_name and "region" not in config:
        config["region"] = session.region_name
    provider = Boto3CredentialProvider(session)
    return S3Store(bucket, prefix=prefix, config=config, client_options=options, credential_provider=provider)

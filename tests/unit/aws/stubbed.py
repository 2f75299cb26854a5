"""AWS with answers as values: real boto3 clients, which check request and answer by AWS's own model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.stub import Stubber

from dayfly.aws.cache import Cache
from dayfly.aws.client import Aws, _speak_plainly

NOW = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
REGION = "eu-central-1"


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def pass_by(self, duration: timedelta) -> None:
        self.time += duration


@dataclass
class StubbedAws:
    """An AWS that answers each call as it was told to, in that order, and no other call."""

    aws: Aws
    clock: Clock
    stubbers: dict[str, Stubber] = field(default_factory=dict)

    def answer(
        self, service: str, method: str, answer: dict[str, Any], expected: dict[str, Any] | None = None
    ) -> None:
        """`service` is the name of the client in `Aws`."""
        self._stubber(service).add_response(method, answer, expected)

    def refuse(self, service: str, method: str, code: str, message: str = "No.") -> None:
        self._stubber(service).add_client_error(method, code, message)

    def _stubber(self, service: str) -> Stubber:
        if service not in self.stubbers:
            self.stubbers[service] = Stubber(getattr(self.aws, service))
            self.stubbers[service].activate()
        return self.stubbers[service]


@contextmanager
def stubbed_aws() -> Iterator[StubbedAws]:
    """At the end, every answer must have been asked for."""
    clock = Clock()
    session = boto3.Session(aws_access_key_id="-", aws_secret_access_key="-", region_name=REGION)  # noqa: S106
    session.events.register("creating-client-class", _speak_plainly)
    stubbed = StubbedAws(aws=Aws(session=session, region=REGION, now=clock.now), clock=clock)
    try:
        yield stubbed
        for stubber in stubbed.stubbers.values():
            stubber.assert_no_pending_responses()
    finally:
        for client in stubbed.aws._clients.values():
            client.close()


def cache_in(directory: Path, clock: Clock) -> Cache:
    """A cache that ages by the clock."""
    return Cache(directory=directory, now=clock.now)

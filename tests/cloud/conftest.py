"""The emulated AWS, once per worker, forgotten before each test; see docs/evidence.md for what it proves.

A test asks for `emulator`, `aws` (as its root), `credentials_of` and `as_role` (as a role), `count_calls`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dayfly.aws.client import Aws, open_aws
from dayfly.rehearsal.emulator import Credentials, Emulator, start_emulator

CACHE = Path(__file__).parents[2] / ".cache" / "emulator"
OTHERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


class EmulatorClock:
    """The emulator's time: sleeping moves it on, and what falls due on the way happens."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.slept_s = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.slept_s)

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self._emulator.let_pass(seconds)


@pytest.fixture(scope="session")
def running_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One for the whole worker."""
    with start_emulator(tmp_path_factory.mktemp("emulator"), cache=CACHE) as emulator:
        yield emulator


@pytest.fixture
def emulator(running_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulated AWS with nothing in it, named by the environment alone, as a user's shell would."""
    running_emulator.reset()
    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in running_emulator.environ().items():
        monkeypatch.setenv(name, value)
    return running_emulator


@pytest.fixture
def clock(emulator: Emulator) -> EmulatorClock:
    """The emulator's clock; `aws` waits by it, so that no test waits."""
    return EmulatorClock(emulator)


@pytest.fixture(scope="session")
def root_aws(running_emulator: Emulator) -> Iterator[Aws]:
    """Its clients are made once a worker: botocore takes longer to read its models than a test takes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in OTHERS:
            patch.delenv(name, raising=False)
        for name, value in running_emulator.environ().items():
            patch.setenv(name, value)
        opened = open_aws()
        opened.session.get_credentials()  # read now, kept by the session
    yield opened
    _close(opened)


@pytest.fixture
def aws(root_aws: Aws, clock: EmulatorClock) -> Aws:
    """The emulated AWS as the account's root sees it."""
    return replace(root_aws, now=clock.now, sleep=clock.sleep)


@pytest.fixture
def credentials_of(emulator: Emulator) -> Callable[[str], Credentials]:
    """The credentials of a role: of an instance, the scheduler, CloudFormation."""
    return emulator.credentials_of


@pytest.fixture
def as_role(
    emulator: Emulator, clock: EmulatorClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Aws]]:
    """`as_role(arn)` is the emulated AWS as that role sees it."""
    opened: list[Aws] = []

    def become(role_arn: str) -> Aws:
        with monkeypatch.context() as patch:
            for name, value in emulator.environ(emulator.credentials_of(role_arn)).items():
                patch.setenv(name, value)
            one = open_aws(now=clock.now, sleep=clock.sleep)
            one.session.get_credentials()  # read now, kept by the session
            opened.append(one)
            return one

    yield become
    for one in opened:
        _close(one)


@pytest.fixture
def count_calls(emulator: Emulator) -> Callable[[], AbstractContextManager[list[dict[str, Any]]]]:
    """`with count_calls() as calls:` leaves the API calls of the block in `calls`, oldest first."""

    @contextmanager
    def count() -> Iterator[list[dict[str, Any]]]:
        before = len(emulator.requests())
        calls: list[dict[str, Any]] = []
        yield calls
        calls.extend(emulator.requests()[before:])

    return count


def _close(aws: Aws) -> None:
    for client in aws._clients.values():
        client.close()

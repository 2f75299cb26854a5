"""Whose clock counts: AWS keeps the deadlines and dates the heartbeats, and a laptop's clock may be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from dayfly.aws.client import AwsClock, open_aws
from dayfly.runs.catalog import list_runs, state_of
from dayfly.runs.s3 import S3Clock
from dayfly.runs.state import State
from dayfly.runs.status import put_status
from dayfly.runs.store import open_store
from tests.unit.aws.stubbed import NOW
from tests.unit.support import RUN_ID

AHEAD = timedelta(minutes=4)
"""By how much AWS is ahead of us: so much, and AWS still takes our signatures."""
_IDENTITY = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>1</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An AWS whose clock is ahead of ours."""

    class Answer(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(datetime.now(UTC) + AHEAD, usegmt=True)

        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(_IDENTITY)))
            self.end_headers()
            self.wfile.write(_IDENTITY.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "-")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "-")
        yield url
        server.shutdown()


def about(found: datetime, wanted: datetime) -> bool:
    return abs(found - wanted) < timedelta(minutes=1)


def test_from_the_first_answer_on_the_time_is_awss(endpoint: str) -> None:
    aws = open_aws(region="eu-central-1")
    assert about(aws.now(), datetime.now(UTC))
    aws.sts.get_caller_identity()
    assert about(aws.now(), datetime.now(UTC) + AHEAD)
    aws.sts.close()


@pytest.mark.parametrize("ahead", [timedelta(hours=-1), timedelta(minutes=-4), timedelta(hours=1)])
def test_a_clock_that_is_wrong_is_put_right(ahead: timedelta) -> None:
    clock = AwsClock(lambda: NOW)
    clock.hear(format_datetime(NOW + ahead, usegmt=True))
    assert clock() == NOW + ahead
    clock.hear(format_datetime(NOW, usegmt=True))  # it has been set meanwhile
    assert clock() == NOW


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 23 Nov 2026 10:15:07 GMT"])
def test_an_answer_on_its_way_is_no_difference_and_nonsense_is_none(date: str) -> None:
    clock = AwsClock(lambda: NOW)
    clock.hear(date)
    assert clock() == NOW


def test_s3_tells_its_time_to_anybody(endpoint: str) -> None:
    assert about(S3Clock()(), datetime.now(UTC) + AHEAD)


def test_without_an_answer_it_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert about(S3Clock()(), datetime.now(UTC))


def test_a_laptop_whose_clock_is_fast_does_not_take_living_runs_for_lost() -> None:
    beaten = datetime.now(UTC)
    fast = beaten + AHEAD
    ours = open_store("memory://")
    put_status(ours, RUN_ID, State.RUNNING, beaten)
    assert state_of(ours, RUN_ID, now=fast) is State.LOST
    theirs = replace(ours, clock=lambda: beaten + timedelta(seconds=20))
    assert state_of(theirs, RUN_ID, now=fast) is State.RUNNING
    assert [run.state for run in list_runs(theirs, now=fast)] == [State.RUNNING]


def test_one_that_is_silent_by_the_stores_clock_is_lost() -> None:
    store = replace(open_store("memory://"), clock=lambda: datetime.now(UTC) + AHEAD)
    put_status(store, RUN_ID, State.RUNNING, NOW)
    assert state_of(store, RUN_ID, now=datetime.now(UTC) + AHEAD) is State.LOST

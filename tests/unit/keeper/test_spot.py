"""AWS takes a spot machine back: the notice, against a real server that speaks as the metadata service."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dayfly.keeper.spot import MetadataService, ask_to_stop, metadata_endpoint, watch_spot
from dayfly.runner.ending import read_stop
from dayfly.runs import layout
from dayfly.runs.result import Reason
from dayfly.runs.state import State
from tests.unit.support import wait_for

NOTICE = {"action": "terminate", "time": "2026-11-23T10:17:02Z"}


@dataclass
class Metadata:
    """What the service says, and what it was asked."""

    notice: str | None = None
    token: str = "token-1"  # noqa: S105 -- no secret
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    state = Metadata()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            state.asked.append("PUT " + self.path)
            lives = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
            self.answer(200 if lives else 400, state.token)

        def do_GET(self) -> None:
            state.asked.append("GET " + self.path)
            if self.headers.get("X-aws-ec2-metadata-token") != state.token:
                self.answer(401, "")
            elif self.path == "/latest/meta-data/spot/instance-action" and state.notice is not None:
                self.answer(200, state.notice)
            else:
                self.answer(404, "")

        def answer(self, code: int, text: str) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        yield state
        server.shutdown()


def test_a_notice_is_read_with_a_token_that_is_asked_for_once(metadata: Metadata) -> None:
    service = MetadataService(metadata.url)
    assert service.spot_notice() is None
    metadata.notice = json.dumps(NOTICE)
    assert service.spot_notice() == NOTICE
    assert [one for one in metadata.asked if one.startswith("PUT")] == ["PUT /latest/api/token"]


def test_a_token_that_has_expired_is_renewed(metadata: Metadata) -> None:
    metadata.notice = json.dumps(NOTICE)
    service = MetadataService(metadata.url)
    service.spot_notice()
    metadata.token = "token-2"  # noqa: S105
    assert service.spot_notice() is None
    assert service.spot_notice() == NOTICE


@pytest.mark.parametrize("said", ["", "no json", "[]", "null"])
def test_what_is_no_notice_is_none(metadata: Metadata, said: str) -> None:
    metadata.notice = said
    assert MetadataService(metadata.url).spot_notice() is None


def test_a_service_that_does_not_answer_is_no_notice() -> None:
    assert MetadataService("http://127.0.0.1:9").spot_notice() is None


def test_no_proxy_comes_between(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    metadata.notice = json.dumps(NOTICE)
    assert MetadataService(metadata.url).spot_notice() == NOTICE


def test_a_notice_ends_the_run_as_taken_back_by_aws(metadata: Metadata, tmp_path: Path) -> None:
    with watch_spot(tmp_path, metadata.url, look_s=0.01):
        wait_for(lambda: any(one.startswith("GET") for one in metadata.asked))
        assert not (tmp_path / layout.STOP).exists()
        metadata.notice = json.dumps(NOTICE)
        wait_for((tmp_path / layout.STOP).exists)
    intent = read_stop(tmp_path / layout.STOP)
    assert (intent.state, intent.reason) == (State.INTERRUPTED, Reason.SPOT)
    assert "spot" in intent.message
    assert json.loads((tmp_path / layout.STOP).read_bytes())["notice"] == NOTICE
    assert list(tmp_path.iterdir()) == [tmp_path / layout.STOP]


def test_who_has_asked_for_the_end_before_keeps_his_word(tmp_path: Path) -> None:
    (tmp_path / layout.STOP).write_text('{"by": "ada"}')
    ask_to_stop(tmp_path, NOTICE)
    assert (tmp_path / layout.STOP).read_text() == '{"by": "ada"}'
    assert read_stop(tmp_path / layout.STOP).reason is Reason.STOPPED


def test_the_watch_ends_with_the_run(metadata: Metadata, tmp_path: Path) -> None:
    with watch_spot(tmp_path, metadata.url, look_s=60):
        pass
    assert not any(thread.name == "spot" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, "http://169.254.169.254"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://[fd00:ec2::254]/"}, "http://[fd00:ec2::254]"),
    ],
)
def test_the_endpoint_is_the_one_that_aws_tools_use(environ: dict[str, str], endpoint: str) -> None:
    assert metadata_endpoint(environ) == endpoint

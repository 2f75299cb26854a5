"""The stores of the contract: a directory, memory, and an S3 that listens on loopback."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from dayfly.runs.store import Store, open_store

# The backends that are reached through an engine need one here, too.
from tests.engine.conftest import base_image, docker, kernel_image  # noqa: F401

BUCKET = "dayfly-contract"
_NUMBERS = itertools.count()


@dataclass
class S3:
    """The emulated S3: where it is, and the requests it has had."""

    url: str
    requests: list[tuple[str, str]] = field(default_factory=list)

    def fresh_store(self) -> Store:
        """A store under a prefix that nothing else has; its name is not a plain one."""
        return open_store(f"s3://{BUCKET}/some team/{next(_NUMBERS)}")


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 -- werkzeug's name
        """A test that fails shows what it needs itself."""


def _recorded(application: Any, requests: list[tuple[str, str]]) -> Callable[..., Iterable[bytes]]:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        requests.append((environ["REQUEST_METHOD"], f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}"))
        answered: Iterable[bytes] = application(environ, start_response)
        return answered

    return answer


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """moto's server in a thread of its own, with one bucket."""
    requests: list[tuple[str, str]] = []
    application = _recorded(DomainDispatcherApplication(create_backend_app), requests)
    # One request after the other: moto checks and writes in two steps, which S3 does in one.
    server = make_server("127.0.0.1", 0, application, threaded=False, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, name="s3", daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 -- the emulator takes any
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()
    yield S3(url=url, requests=requests)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The emulated S3, named by the environment alone, as a user's shell would."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3_server.requests.clear()
    return s3_server


@pytest.fixture(params=["directory", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "directory":
        return open_store(tmp_path / "a store")
    if request.param == "memory":
        return open_store("memory://")
    s3: S3 = request.getfixturevalue("s3")
    return s3.fresh_store()

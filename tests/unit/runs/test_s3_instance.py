"""Credentials of an instance without boto3, against a real server: metadata service and bucket at once."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import obstore
import pytest

from dayfly.errors import StoreError
from dayfly.runs.s3 import open_s3
from tests.unit.support import wait_for

ROLE = "/latest/meta-data/iam/security-credentials/"


@dataclass
class Instance:
    """What the instance has, and with which keys its bucket was written."""

    lives: timedelta = timedelta(hours=1)
    given: int = 0
    tokens: int = 0
    keys: list[str] = field(default_factory=list)

    def credentials(self) -> str:
        self.given += 1
        return json.dumps(
            {
                "Code": "Success",
                "AccessKeyId": f"ASIA{self.given}",
                "SecretAccessKey": "secret",
                "Token": f"token{self.given}",
                "Expiration": (datetime.now(UTC) + self.lives).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )


class Handler(BaseHTTPRequestHandler):
    """Version 2 of the metadata service, and PUT of objects."""

    protocol_version = "HTTP/1.1"
    instance: Instance

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/latest/api/token":
            self.instance.tokens += 1
            self.answer("metadata-token")
            return
        found = re.search(r"Credential=(\w+)/", self.headers.get("Authorization", ""))
        self.instance.keys.append(found[1] if found else "")
        self.answer("", {"ETag": '"1"'})

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "metadata-token":
            self.send_error(401)
        elif self.path == ROLE:
            self.answer("the-role")
        elif self.path == ROLE + "the-role":
            self.answer(self.instance.credentials())
        else:
            self.send_error(404)

    def answer(self, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {**(headers or {}), "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
        """Quiet."""


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    made = Instance()
    handler = type("Handler", (Handler,), {"instance": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        yield made
        server.shutdown()


def nothing_found(_: str) -> None:
    """As in an image, where there is no boto3."""


def test_on_a_machine_the_instances_credentials_are_used(instance: Instance) -> None:
    store = open_s3("s3://bucket/runs", instance_credentials=True, find=nothing_found)
    obstore.put(store, "a", b"1")
    obstore.put(store, "b", b"2")
    assert instance.keys == ["ASIA1", "ASIA1"]
    assert (instance.tokens, instance.given) == (1, 1)


def test_credentials_that_expire_are_renewed(instance: Instance) -> None:
    """They rotate every few hours; a run may last longer."""
    instance.lives = timedelta(seconds=1)
    store = open_s3("s3://bucket/runs", instance_credentials=True, find=nothing_found)

    def put() -> bool:
        obstore.put(store, "a", b"1")
        return "ASIA3" in instance.keys

    wait_for(put)  # obstore asks anew a tenth of a second later at the earliest
    assert instance.keys[0] == "ASIA1"


def test_keys_in_the_environment_come_first(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMINE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = open_s3("s3://bucket/runs", instance_credentials=True, find=nothing_found)
    obstore.put(store, "a", b"1")
    assert (instance.keys, instance.given) == (["AKIAMINE"], 0)


def test_elsewhere_the_error_says_how_to_get_credentials(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A laptop is no machine: its metadata service, if any answers there, is not asked."""
    none = tmp_path_factory.mktemp("home") / "none"
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(none))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match="No AWS credentials"):
        open_s3("s3://bucket/runs", find=nothing_found)
    assert instance.given == 0

"""The metadata service on loopback: what AWS documents of it, by HTTP and by the clients of AWS's users."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from botocore.utils import InstanceMetadataFetcher
from obstore.store import S3Store

import dayfly.rehearsal.around
from dayfly.rehearsal.around.metadata import Metadata, Served
from dayfly.rehearsal.around.metadata_http import LIFETIME, TOKEN, TOKEN_PATH, Server, serve
from dayfly.rehearsal.around.metadata_tree import find

HERE, BESIDE, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
ROLE = "dayfly-p-us-east-1-run"
INSTANCE: dict[str, Any] = {
    "Architecture": "x86_64",
    "IamInstanceProfile": {"Arn": f"arn:aws:iam::123456789012:instance-profile/{ROLE}", "Id": "AIPA"},
    "ImageId": "ami-0123456789abcdef0",
    "InstanceId": "i-0123456789abcdef0",
    "InstanceType": "m7i.large",
    "KeyName": "dayfly-p",
    "LaunchTime": "2026-11-23T10:00:00Z",
    "MetadataOptions": {"HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
    "Placement": {"AvailabilityZone": "us-east-1b"},
    "PrivateDnsName": "ip-172-31-0-7.ec2.internal",
    "PrivateIpAddress": "172.31.0.7",
    "PublicKey": "ssh-ed25519 AAAA ada",
    "Tags": {"dayfly:project": "p"},
    "UserData": "#!/bin/bash\nexit 0\n",
}


class Mint:
    """Credentials with numbers."""

    def __init__(self) -> None:
        self.minted: list[int] = []

    def __call__(self, lifetime_s: int) -> dict[str, str]:
        self.minted.append(lifetime_s)
        number = len(self.minted)
        return {
            "access_key_id": f"ASIA{number}",
            "secret_access_key": f"secret-{number}",
            "session_token": f"token-{number}",
            "expiration": (datetime.now(UTC) + timedelta(seconds=lifetime_s)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class Service:
    """The running service, and how its clients reach it."""

    def __init__(self, metadata: Metadata, server: Server) -> None:
        self.metadata = metadata
        self.port = int(server.server_address[1])
        self.url = f"http://{HERE}:{self.port}"

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, *, source: str = HERE
    ) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(HERE, self.port, timeout=10, source_address=(source, 0))
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def token(self, lifetime: str = "60", *, source: str = HERE) -> str:
        status, token, _ = self.ask("PUT", TOKEN_PATH, {LIFETIME: lifetime}, source=source)
        assert status == 200
        return token

    def get(self, path: str) -> tuple[int, str]:
        return self.ask("GET", path, {TOKEN: self.token()})[:2]

    def text(self, path: str) -> str:
        status, text = self.get(path)
        assert status == 200, path
        return text


def served(changes: dict[str, Any] | None = None) -> Served:
    one = {**INSTANCE, **(changes or {})}
    return Served(lambda: one, Mint())


@pytest.fixture
def instance() -> Served:
    return served()


@pytest.fixture
def service(instance: Served) -> Iterator[Service]:
    metadata = Metadata(known_within_s=0.0)
    metadata.instances |= {HERE: instance, BESIDE: served({"InstanceId": "i-beside"})}
    server = serve(metadata, (HERE, 0))
    yield Service(metadata, server)
    server.shutdown()
    server.server_close()


def test_a_session_has_a_token_that_says_how_long_it_lasts(service: Service) -> None:
    status, token, headers = service.ask("PUT", TOKEN_PATH, {LIFETIME: "21600"})
    assert (status, headers[LIFETIME]) == (200, "21600")
    status, text, headers = service.ask("GET", "/latest/meta-data/instance-id", {TOKEN: token})
    assert (status, text) == (200, INSTANCE["InstanceId"])
    assert 21590 <= int(headers[LIFETIME]) <= 21600


@pytest.mark.parametrize("lifetime", ["0", "21601", "-1", "", "ten", "1.5", "٣", "9" * 5000])
def test_a_lifetime_is_one_to_21600_seconds(service: Service, lifetime: str) -> None:
    said = service.ask("PUT", TOKEN_PATH, {LIFETIME: lifetime.encode().decode("latin-1")})
    assert said[:2] == (400, "")


def test_a_lifetime_must_be_given(service: Service) -> None:
    assert service.ask("PUT", TOKEN_PATH)[0] == 400


def test_what_comes_through_a_proxy_gets_no_token(service: Service) -> None:
    headers = {LIFETIME: "60", "X-Forwarded-For": ""}
    assert service.ask("PUT", TOKEN_PATH, headers)[:2] == (403, "")


def test_only_a_token_is_put(service: Service) -> None:
    assert service.ask("PUT", "/latest/meta-data/", {LIFETIME: "60"})[0] == 403
    assert service.ask("POST", TOKEN_PATH, {LIFETIME: "60"})[0] >= 400


@pytest.mark.parametrize("path", ["/", "/latest/meta-data/", "/latest/user-data", "/latest/nothing"])
def test_nothing_is_said_without_a_token(service: Service, path: str) -> None:
    assert service.ask("GET", path)[:2] == (401, "")
    assert service.ask("GET", path, {TOKEN: "guessed"})[:2] == (401, "")


def test_a_token_is_over_with_its_time(service: Service, instance: Served) -> None:
    token = service.token("1")
    instance._tokens[token] -= 1
    assert service.ask("GET", "/latest/user-data", {TOKEN: token})[0] == 401


def test_a_token_is_of_no_use_to_another_instance(service: Service) -> None:
    token = service.token()
    assert service.ask("GET", "/latest/user-data", {TOKEN: token}, source=BESIDE)[0] == 401
    assert service.ask("GET", "/latest/user-data", {TOKEN: token})[0] == 200


def test_each_address_is_told_of_its_own_instance(service: Service) -> None:
    token = service.token(source=BESIDE)
    said = service.ask("GET", "/latest/meta-data/instance-id", {TOKEN: token}, source=BESIDE)
    assert said[1] == "i-beside"


@pytest.mark.parametrize("method", ["PUT", "GET", "BREW"])
def test_a_stranger_gets_no_answer(service: Service, method: str) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        service.ask(method, TOKEN_PATH, {LIFETIME: "60"}, source=STRANGER)


def test_one_that_has_just_been_started_is_waited_for(service: Service, instance: Served) -> None:
    service.metadata._known_within_s = 30
    told: list[int] = []
    asking = Thread(target=lambda: told.append(service.ask("GET", "/", source=STRANGER)[0]))
    asking.start()
    service.metadata.instances[STRANGER] = instance
    asking.join(30)
    assert told == [401]


def test_while_the_service_is_down_nobody_gets_an_answer(service: Service) -> None:
    service.metadata.answers = False
    with pytest.raises(http.client.RemoteDisconnected):
        service.ask("PUT", TOKEN_PATH, {LIFETIME: "60"})
    service.metadata.answers = True
    assert service.text("/latest/meta-data/instance-id") == INSTANCE["InstanceId"]


def test_what_cannot_be_told_now_is_to_be_asked_again(service: Service) -> None:
    def fail() -> dict[str, Any]:
        raise ConnectionRefusedError

    service.metadata.instances[HERE] = Served(fail, Mint())
    assert service.ask("PUT", TOKEN_PATH, {LIFETIME: "60"})[0] == 503


def test_an_endpoint_that_is_disabled_forbids(service: Service) -> None:
    service.metadata.instances[HERE] = served({"MetadataOptions": {"HttpEndpoint": "disabled"}})
    assert service.ask("PUT", TOKEN_PATH, {LIFETIME: "60"})[0] == 403
    assert service.ask("GET", "/latest/user-data")[0] == 403


def test_listings_have_a_name_a_line_and_folders_end_in_a_slash(service: Service) -> None:
    assert service.text("/").splitlines()[-1] == "latest"
    assert service.text("/latest/") == "dynamic/\nmeta-data/\nuser-data"
    names = service.text("/latest/meta-data/").splitlines()
    assert {"ami-id", "iam/", "instance-id", "placement/", "public-keys/", "services/"} <= set(names)
    assert names == sorted(names)
    assert service.text("/latest/meta-data/placement") == service.text("/latest/meta-data/placement/")
    assert service.text("/latest/meta-data/placement/") == "availability-zone\nregion"
    assert service.text("/latest/meta-data/placement/region") == "us-east-1"


def test_public_keys_are_listed_by_number_and_name(service: Service) -> None:
    assert service.text("/latest/meta-data/public-keys/") == "0=dayfly-p"
    assert service.text("/latest/meta-data/public-keys/0/") == "openssh-key"
    assert service.text("/latest/meta-data/public-keys/0/openssh-key") == INSTANCE["PublicKey"]


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/nothing",
        "/latest/meta-data/place",
        "/latest/meta-data/iam/security-credentials/another-role",
        "/latest/meta-data/tags/instance",
        "/latest/nothing",
        "/1999-01-01/meta-data/",
    ],
)
def test_what_is_not_there_is_not_found(service: Service, path: str) -> None:
    assert service.get(path) == (404, "")


def test_every_version_says_the_same(service: Service) -> None:
    for version in service.text("/").splitlines():
        assert service.text(f"/{version}/user-data") == INSTANCE["UserData"]


def test_an_instance_without_user_data_and_profile_has_none(service: Service) -> None:
    service.metadata.instances[HERE] = served({"UserData": "", "IamInstanceProfile": None, "PublicKey": ""})
    assert service.get("/latest/user-data")[0] == 404
    names = service.text("/latest/meta-data/").splitlines()
    assert not {"iam/", "public-keys/", "spot/", "tags/"} & set(names)


def test_tags_are_told_where_the_instance_allows_it(service: Service) -> None:
    service.metadata.instances[HERE] = served({"MetadataOptions": {"InstanceMetadataTags": "enabled"}})
    assert service.text("/latest/meta-data/tags/instance/dayfly:project") == "p"


def test_a_spot_notice_is_there_once_it_is_given(service: Service, instance: Served) -> None:
    assert service.get("/latest/meta-data/spot/instance-action") == (404, "")
    instance.spot_at = "2026-11-23T10:02:00Z"
    said = json.loads(service.text("/latest/meta-data/spot/instance-action"))
    assert said == {"action": "terminate", "time": "2026-11-23T10:02:00Z"}
    assert service.text("/latest/meta-data/spot/termination-time") == instance.spot_at


def test_the_identity_document_says_who_and_where(service: Service) -> None:
    said = json.loads(service.text("/latest/dynamic/instance-identity/document"))
    assert (said["instanceId"], said["region"]) == (INSTANCE["InstanceId"], "us-east-1")
    assert (said["privateIp"], said["version"]) == (INSTANCE["PrivateIpAddress"], "2017-09-30")


def credentials(service: Service) -> dict[str, str]:
    said: dict[str, str] = json.loads(service.text(f"/latest/meta-data/iam/security-credentials/{ROLE}"))
    return said


def test_a_roles_credentials_have_the_names_that_aws_gives_them(service: Service) -> None:
    assert service.text("/latest/meta-data/iam/security-credentials/") == ROLE
    said = credentials(service)
    assert (said.pop("Code"), said.pop("Type")) == ("Success", "AWS-HMAC")
    assert said.pop("LastUpdated") < said.pop("Expiration")
    assert said == {"AccessKeyId": "ASIA1", "SecretAccessKey": "secret-1", "Token": "token-1"}
    info = json.loads(service.text("/latest/meta-data/iam/info"))
    assert info["InstanceProfileArn"] == INSTANCE["IamInstanceProfile"]["Arn"]


def test_credentials_are_the_same_until_half_of_their_life_is_over(
    service: Service, instance: Served
) -> None:
    first = credentials(service)
    assert credentials(service) == first
    instance._given_at -= instance.lifetime_s / 2 + 1
    assert credentials(service)["AccessKeyId"] == "ASIA2"
    left = instance.lifetime_s / 2
    assert left >= 300, "AWS has new ones five minutes before the old ones expire"


def test_credentials_are_renewed_when_told_to(service: Service, instance: Served) -> None:
    credentials(service)
    instance.renew_credentials(20)
    assert credentials(service)["AccessKeyId"] == "ASIA2"
    mint = instance.credentials
    assert isinstance(mint, Mint)
    assert mint.minted == [3600, 20]


def test_botocore_finds_the_roles_credentials(service: Service) -> None:
    fetcher = InstanceMetadataFetcher(
        timeout=5, num_attempts=1, base_url=service.url, config={"ec2_metadata_v1_disabled": True}
    )
    said = fetcher.retrieve_iam_role_credentials()
    assert (said["role_name"], said["access_key"], said["secret_key"]) == (ROLE, "ASIA1", "secret-1")
    assert said["token"].endswith("-1")
    assert datetime.fromisoformat(said["expiry_time"]) > datetime.now(UTC)


class Objects(BaseHTTPRequestHandler):
    """An S3 that remembers who asked."""

    asked: list[dict[str, str]]

    def do_GET(self) -> None:
        self.asked.append(dict(self.headers))
        self.send_response(200)
        for name, value in {
            "Content-Length": "2",
            "ETag": '"1"',
            "Last-Modified": "Mon, 23 Nov 2026 10:00:00 GMT",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def test_obstore_finds_the_roles_credentials(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    asked: list[dict[str, str]] = []
    with HTTPServer((HERE, 0), type("Noting", (Objects,), {"asked": asked})) as server:
        Thread(target=server.handle_request, daemon=True).start()
        store = S3Store(
            "bucket",
            region="us-east-1",
            endpoint=f"http://{HERE}:{server.server_address[1]}",
            metadata_endpoint=service.url,
            client_options={"allow_http": True},
        )
        assert bytes(store.get("x").bytes()) == b"ok"
    (headers,) = asked
    assert "Credential=ASIA1/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "token-1"


def test_a_folder_may_have_a_listing_of_its_own() -> None:
    tree = {"a/": lambda: "0=b", "a/0/c": lambda: "d"}
    assert (find(tree, ""), find(tree, "a"), find(tree, "a/0"), find(tree, "b")) == ("a/", "0=b", "c", None)


def test_it_needs_nothing_but_python(tmp_path: Path) -> None:
    """In the rehearsal's image there is no dayfly."""
    (tmp_path / "around").symlink_to(Path(dayfly.rehearsal.around.__file__).parent)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from around import metadata_http, serve\n"
        "print([name for name in sys.modules if name.startswith(('dayfly', 'pydantic', 'boto'))])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_what_may_be_secret_is_not_written_down(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    credentials(service)
    service.ask("BREW", "/latest/")
    said: Callable[[], Any] = capfd.readouterr
    assert said() == ("", "")

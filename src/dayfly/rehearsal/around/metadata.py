"""EC2's instance metadata service, version 2 alone, for the instances of one rehearsal.

After https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html: a token
is asked for by PUT with a lifetime, every GET needs one, and what is answered passes no more routers than
the instance's hop limit says. That is done as EC2 does it, with the time-to-live of the packets: a container
on the instance's own bridge is one router away.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ADDRESS = "169.254.169.254"
_TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105 -- the name of a header
_LIFETIME = "X-aws-ec2-metadata-token-ttl-seconds"
_LONGEST_S = 21600
_KNOWN_WITHIN_S = 4.0
_VERSIONS = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "2021-01-03", "latest")


@dataclass
class Served:
    """One instance as the service knows it. `describe` asks the API for it each time."""

    describe: Callable[[], dict[str, Any]]
    credentials: Callable[[int], dict[str, str]]
    lifetime_s: int = 3600
    """Of the role's credentials. New ones are given when half of it is over."""
    spot_at: str = ""
    """When AWS will take the instance away; empty: not."""
    given: dict[str, str] = field(default_factory=dict)
    given_at: float = 0.0


class Metadata:
    """Which address is which instance, and what each may know."""

    def __init__(self) -> None:
        self.instances: dict[str, Served] = {}
        self.answers = True
        self._tokens: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait_for(self, address: str) -> Served | None:
        """The instance at an address. One that has just been started is known in a moment."""
        give_up = time.monotonic() + _KNOWN_WITHIN_S
        while (served := self.instances.get(address)) is None and time.monotonic() < give_up:
            time.sleep(0.05)
        return served

    def new_token(self, lifetime_s: int) -> str:
        """A session token, valid for so long."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[token] = time.monotonic() + lifetime_s
        return token

    def knows_token(self, token: str | None) -> bool:
        """Whether a request may be answered."""
        with self._lock:
            return token is not None and self._tokens.get(token, 0.0) > time.monotonic()

    def role_credentials(self, served: Served) -> dict[str, str]:
        """The role's credentials, the same ones until half of their life is over."""
        with self._lock:
            if not served.given or time.monotonic() - served.given_at > served.lifetime_s / 2:
                served.given, served.given_at = served.credentials(served.lifetime_s), time.monotonic()
            return served.given


def read(metadata: Metadata, served: Served, path: str) -> str | None:
    """What one path (without version) answers; None for 404."""
    if path == "user-data":
        return str(served.describe()["UserData"])
    if path == "dynamic/instance-identity":
        return "document"
    if path == "dynamic/instance-identity/document":
        return json.dumps(_identity(served.describe()))
    if not path.startswith("meta-data"):
        return None
    name = path.removeprefix("meta-data").strip("/")
    if name == "spot/instance-action":
        return json.dumps({"action": "terminate", "time": served.spot_at}) if served.spot_at else None
    leaves = _leaves(metadata, served)
    if name in leaves:
        return leaves[name]
    folder = f"{name}/" if name else ""
    inside = {leaf.removeprefix(folder) for leaf in leaves if leaf.startswith(folder)}
    names = sorted({part.split("/")[0] + ("/" if "/" in part else "") for part in inside})
    return "\n".join(names) if names else None


def _leaves(metadata: Metadata, served: Served) -> dict[str, str]:
    one = served.describe()
    profile = one.get("IamInstanceProfile") or {}
    leaves = {
        "ami-id": one["ImageId"],
        "hostname": one["PrivateDnsName"],
        "instance-id": one["InstanceId"],
        "instance-type": one["InstanceType"],
        "instance-life-cycle": "spot" if one.get("InstanceLifecycle") else "on-demand",
        "local-hostname": one["PrivateDnsName"],
        "local-ipv4": one["PrivateIpAddress"],
        "placement/availability-zone": one["Placement"]["AvailabilityZone"],
        "placement/region": one["Placement"]["AvailabilityZone"][:-1],
        "reservation-id": "r-rehearsal",
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
    }
    if one.get("PublicKey"):
        leaves["public-keys/0/openssh-key"] = one["PublicKey"]
    if profile:
        role = str(profile["Arn"]).rpartition("/")[2]
        leaves["iam/info"] = json.dumps({"Code": "Success", "InstanceProfileArn": profile["Arn"]})
        leaves[f"iam/security-credentials/{role}"] = _credentials(metadata, served)
    return leaves


def _credentials(metadata: Metadata, served: Served) -> str:
    given = metadata.role_credentials(served)
    return json.dumps(
        {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": _utc(0),
            "AccessKeyId": given["access_key_id"],
            "SecretAccessKey": given["secret_access_key"],
            "Token": given["session_token"],
            "Expiration": given["expiration"],
        }
    )


def _utc(more_s: float) -> str:
    # The image's Python is Debian's own.
    return (datetime.now(timezone.utc) + timedelta(seconds=more_s)).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017


def _identity(one: dict[str, Any]) -> dict[str, str]:
    return {
        "accountId": str(one.get("OwnerId", "123456789012")),
        "architecture": str(one["Architecture"]),
        "availabilityZone": one["Placement"]["AvailabilityZone"],
        "imageId": one["ImageId"],
        "instanceId": one["InstanceId"],
        "instanceType": one["InstanceType"],
        "privateIp": one["PrivateIpAddress"],
        "region": one["Placement"]["AvailabilityZone"][:-1],
        "version": "2017-09-30",
    }


def serve(metadata: Metadata, address: tuple[str, int]) -> ThreadingHTTPServer:  # noqa: C901 -- one handler
    """Answer on this address until the process ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            served = self._served()
            lifetime = self.headers.get(_LIFETIME, "")
            if served is None:
                return
            if self.path != "/latest/api/token" or self.headers.get("X-Forwarded-For"):
                self._say(HTTPStatus.FORBIDDEN, "")
            elif not lifetime.isdecimal() or not 0 < int(lifetime) <= _LONGEST_S:
                self._say(HTTPStatus.BAD_REQUEST, "")
            else:
                self._say(HTTPStatus.OK, metadata.new_token(int(lifetime)), {_LIFETIME: lifetime})

        def do_GET(self) -> None:
            served = self._served()
            if served is None:
                return
            if not metadata.knows_token(self.headers.get(_TOKEN)):
                self._say(HTTPStatus.UNAUTHORIZED, "")
                return
            _, version, *rest = self.path.split("?")[0].split("/")
            path = "/".join(rest).strip("/")
            if not version:
                self._say(HTTPStatus.OK, "\n".join(_VERSIONS))
            elif version not in _VERSIONS:
                self._say(HTTPStatus.NOT_FOUND, "")
            elif not path:
                self._say(HTTPStatus.OK, "dynamic\nmeta-data\nuser-data")
            else:
                said = read(metadata, served, path)
                self._say(HTTPStatus.NOT_FOUND if said is None else HTTPStatus.OK, said or "")

        def _served(self) -> Served | None:
            """The instance that asks. One that is not known, or asks while we are down, gets no answer."""
            served = metadata.wait_for(self.client_address[0])
            if served is None or not metadata.answers:
                self.close_connection = True
                return None
            hops = int(served.describe().get("MetadataOptions", {}).get("HttpPutResponseHopLimit", 1))
            self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
            return served

        def _say(self, status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
            body = text.encode()
            self.send_response(status)
            for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: what is asked may be secret."""

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metadata", daemon=True).start()
    return server

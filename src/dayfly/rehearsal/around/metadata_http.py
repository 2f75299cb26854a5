"""EC2's instance metadata service over HTTP: version 2 alone, as our launch templates ask for.

After https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html:

- A session begins with `PUT /latest/api/token` and a lifetime of 1 to 21600 seconds (else 400); one that
  came through a proxy (`X-Forwarded-For`) is refused (403). Each GET needs its token (else 401).
- The answer to the PUT has a time to live of as many hops as the instance's hop limit says, so that with a
  limit of 1 it never reaches a container on the instance's own bridge, one router away. Other answers pass.
- 404 where there is nothing, 403 with the endpoint disabled, 503 where the service cannot tell now.
- Whoever is no instance, or asks while the service is down, gets no answer at all.
"""

from __future__ import annotations

import re
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .metadata import Metadata, Served
from .metadata_tree import read

ADDRESS = "169.254.169.254"
TOKEN_PATH = "/latest/api/token"  # noqa: S105 -- a path
TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105 -- the name of a header
LIFETIME = "X-aws-ec2-metadata-token-ttl-seconds"
LONGEST_S = 21600
_USUAL_HOPS = 64
_IDLE_S = 60.0
_LOOK_S = 0.05


class Server(ThreadingHTTPServer):
    """The service on one address."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], metadata: Metadata) -> None:
        self.metadata = metadata
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    server: Server
    _served: Served

    def parse_request(self) -> bool:
        """Whether to answer at all, before anything else is said."""
        served = self.server.metadata.who_asks(self.client_address[0])
        if served is None:
            self.close_connection = True
            return False
        self._served = served
        return super().parse_request()

    def do_PUT(self) -> None:
        """Begin a session."""
        lifetime = self.headers.get(LIFETIME, "")
        if not self._is_served():
            return
        if self.path != TOKEN_PATH or self.headers.get("X-Forwarded-For") is not None:
            self._say(HTTPStatus.FORBIDDEN)
        elif not re.fullmatch("[0-9]{1,5}", lifetime) or not 1 <= int(lifetime) <= LONGEST_S:
            self._say(HTTPStatus.BAD_REQUEST)
        else:
            self._say(HTTPStatus.OK, self._served.new_token(int(lifetime)), {LIFETIME: lifetime})

    def do_GET(self) -> None:
        """Answer a session."""
        if not self._is_served():
            return
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _USUAL_HOPS)
        left_s = self._served.token_left_s(self.headers.get(TOKEN))
        if not left_s:
            self._say(HTTPStatus.UNAUTHORIZED)
            return
        try:
            said = read(self._served, self.path.partition("?")[0])
        except OSError:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._say(
            HTTPStatus.NOT_FOUND if said is None else HTTPStatus.OK, said or "", {LIFETIME: str(left_s)}
        )

    def _is_served(self) -> bool:
        """Whether the instance has a service, now; else it has been told.

        From here on what is sent goes only as far as the hop limit says.
        """
        try:
            one = self._served.describe()
        except OSError:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE)
            return False
        options: dict[str, Any] = one.get("MetadataOptions", {})
        hops = int(options.get("HttpPutResponseHopLimit", 1))
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        if options.get("HttpEndpoint") == "disabled":
            self._say(HTTPStatus.FORBIDDEN)
            return False
        return True

    def _say(self, status: HTTPStatus, text: str = "", headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """As EC2's service calls itself."""
        return "EC2ws"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the base class's
        """Say nothing: what is asked may be secret."""


def serve(metadata: Metadata, address: tuple[str, int]) -> Server:
    """Answer on this address until the process ends, or `shutdown` is called."""
    server = Server(address, metadata)
    threading.Thread(target=server.serve_forever, args=(_LOOK_S,), name="metadata", daemon=True).start()
    return server

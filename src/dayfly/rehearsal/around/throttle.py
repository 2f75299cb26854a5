"""`python -m around.throttle TIMES`: for so many attempts, the image registry has too much to do.

Its port is turned to a server of ours, which answers 429 as registries do, and then turned back. Requests
that follow one another at once are one attempt.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

_REGISTRY, _OURS = 443, 8443
_RULE = ("PREROUTING", "--protocol", "tcp", "--dport", str(_REGISTRY), "--jump", "REDIRECT")
_SILENCE_S = 1.0
_SAID = {"errors": [{"code": "TOOMANYREQUESTS", "message": "Rate exceeded"}]}


class _Handler(BaseHTTPRequestHandler):
    served = 0

    def do_GET(self) -> None:
        body = json.dumps(_SAID).encode()
        self.send_response(429)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        type(self).served += 1

    do_HEAD = do_GET  # noqa: N815 -- the name is the method's

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _serve(server: HTTPServer, attempts: int) -> None:
    """Until so many have been answered, and nobody asks any more."""
    silent = True
    server.timeout = _SILENCE_S
    while attempts or not silent:
        served = _Handler.served
        server.handle_request()
        asked = _Handler.served > served
        attempts -= asked and silent
        silent = not asked


def main() -> None:
    """Answer so many attempts, and end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tls/server.crt", "/tls/server.key")
    server = HTTPServer(("0.0.0.0", _OURS), _Handler)  # noqa: S104 -- in a network of its own
    server.socket = context.wrap_socket(server.socket, server_side=True)
    iptables = ("iptables", "--table", "nat")
    subprocess.run([*iptables, "--insert", *_RULE, "--to-ports", str(_OURS)], check=True)
    try:
        _serve(server, int(sys.argv[1]))
    finally:
        subprocess.run([*iptables, "--delete", *_RULE, "--to-ports", str(_OURS)], check=True)

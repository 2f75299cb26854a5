"""The image registry: Debian's docker-registry with TLS and a password, and what it tells ECR of."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

USER = "AWS"
_PORT = 443
_NOTED = ("127.0.0.1", 5001)
_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)


def start_registry(state: Path, tls: Path, password: str) -> subprocess.Popen[bytes]:
    """A real OCI registry; its password is the one that `ecr:GetAuthorizationToken` gives out."""
    hashed = subprocess.run(
        ["htpasswd", "-iBn", USER], input=password, capture_output=True, text=True, check=True
    ).stdout
    (state / "htpasswd").write_text(hashed, encoding="utf-8")
    noted = {"name": "ecr", "url": f"http://{_NOTED[0]}:{_NOTED[1]}/", "timeout": "2s", "threshold": 5}
    configuration = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": "/var/lib/images"}, "delete": {"enabled": True}},
        "http": {
            "addr": f":{_PORT}",
            "secret": password,
            "tls": {"certificate": str(tls / "server.crt"), "key": str(tls / "server.key")},
        },
        "auth": {"htpasswd": {"realm": "ECR", "path": str(state / "htpasswd")}},
        "notifications": {"endpoints": [{**noted, "backoff": "1s"}]},
    }
    file = state / "registry.json"  # JSON is YAML
    file.write_text(json.dumps(configuration), encoding="utf-8")
    return subprocess.Popen(
        ["docker-registry", "serve", str(file)], env=dict(os.environ), stdout=sys.stderr, stderr=sys.stderr
    )


def tell_of_pushes(tls: Path, password: str, put_image: Callable[[dict[str, str]], Any]) -> None:
    """Call `put_image` with repository, tag and manifest for each image that is pushed from now on."""
    context = ssl.create_default_context(cafile=str(tls / "server.crt"))
    basic = base64.b64encode(f"{USER}:{password}".encode()).decode()

    def manifest(repository: str, digest: str) -> str:
        url = f"https://localhost:{_PORT}/v2/{repository}/manifests/{digest}"
        headers = {"Authorization": f"Basic {basic}", "Accept": ", ".join(_MANIFESTS)}
        asked = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(asked, timeout=10, context=context) as answer:  # noqa: S310
            return str(answer.read().decode())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for event in said.get("events", []):
                target = event.get("target", {})
                if event.get("action") == "push" and target.get("tag"):
                    repository = target["repository"]
                    found = manifest(repository, target["digest"])
                    put_image({"repository": repository, "tag": target["tag"], "manifest": found})
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(_NOTED, Handler)
    threading.Thread(target=server.serve_forever, name="pushes", daemon=True).start()

"""`python -m around.serve CONFIGURATION`: AWS, as far as the rehearsed instances and their user can tell.

Starts the emulated API, the image registry and the metadata service, says `{"ready": true}`, and then does
what is told, one JSON object a line on standard input. It ends when that does: whoever started it is gone.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from .metadata import Metadata, Served
from .metadata_http import ADDRESS, serve
from .registry import start_registry, tell_of_pushes

_TLS = Path("/tls")
_STATE = Path("/var/lib/rehearsal")
API_PORT = 4566
_READY_S = 60.0


class Api:
    """The emulator's own paths, from inside."""

    def __init__(self) -> None:
        self._context = ssl.create_default_context(cafile=str(_TLS / "server.crt"))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One of `/_dayfly/…`. Raises OSError."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"https://localhost:{API_PORT}{path}", data=data, method=method)
        with urllib.request.urlopen(asked, timeout=30, context=self._context) as answer:  # noqa: S310
            said = answer.read()
        return json.loads(said) if said else None

    def wait(self) -> None:
        """Until it answers. Raises TimeoutError."""
        give_up = time.monotonic() + _READY_S
        while True:
            try:
                self.ask("GET", "/_dayfly/health")
            except OSError as error:
                if time.monotonic() > give_up:
                    raise TimeoutError from error
                time.sleep(0.05)
            else:
                return


def start_api(configuration: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The emulated API, on every address of this container."""
    _STATE.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("0.0.0.0", API_PORT), backlog=512) as listening:  # noqa: S104 -- in a network of its own
        return subprocess.Popen(
            ["/opt/emulator/bin/python", "-P", "-m", "extension", str(listening.fileno())],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(_STATE),
                "PYTHONPATH": "/opt/rehearsal",
                "GATEWAY_PORT": str(API_PORT),
                "MINISTACK_SSL_CERT": str(_TLS / "server.crt"),
                "MINISTACK_SSL_KEY": str(_TLS / "server.key"),
                "DAYFLY_STATE": str(_STATE),
                **configuration["api"],
            },
            stdin=subprocess.PIPE,  # held open as long as we live
            stdout=sys.stderr,
            stderr=sys.stderr,
            pass_fds=[listening.fileno()],
        )


def know_instance(api: Api, metadata: Metadata, told: dict[str, Any]) -> None:
    """An instance has come up under an address."""
    instance_id = told["instance_id"]

    known: list[dict[str, Any]] = []

    def describe() -> dict[str, Any]:
        """Nothing of it changes while it lives. Raises OSError."""
        if not known:
            standing = api.ask("GET", "/_dayfly/instances")
            known.extend(one for one in standing if one["InstanceId"] == instance_id)
        if not known:
            raise ConnectionError(instance_id)
        return {**known[0], **told.get("more", {})}

    def credentials(lifetime_s: int) -> dict[str, str]:
        body = {"role_arn": told["role_arn"], "session": instance_id, "lifetime_s": lifetime_s}
        given: dict[str, str] = api.ask("POST", "/_dayfly/credentials", body)
        return given

    lifetime_s = int(told.get("lifetime_s", 3600))
    metadata.instances[told["address"]] = Served(describe, credentials, lifetime_s=lifetime_s)


def obey(api: Api, metadata: Metadata, told: dict[str, Any]) -> None:
    """Do one thing."""
    if told["do"] == "instance":
        know_instance(api, metadata, told)
    elif told["do"] == "forget":
        metadata.instances.pop(told["address"], None)
    elif told["do"] == "spot":
        metadata.instances[told["address"]].spot_at = told["time"]
    elif told["do"] == "credentials":
        metadata.instances[told["address"]].renew_credentials(int(told["lifetime_s"]))
    elif told["do"] == "metadata":
        metadata.answers = bool(told["answers"])


def main() -> None:
    """Serve until standard input ends."""
    configuration = json.loads(sys.argv[1])
    subprocess.run(["ip", "addr", "replace", f"{ADDRESS}/32", "dev", "eth0"], check=True)
    password = configuration["password"]
    running = [start_api(configuration), start_registry(_STATE, _TLS, password)]
    api, metadata = Api(), Metadata()
    tell_of_pushes(_TLS, password, lambda image: api.ask("POST", "/_dayfly/images", image))
    serve(metadata, (ADDRESS, 80))
    api.wait()
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201 -- it is how it speaks
    for line in sys.stdin:
        try:
            obey(api, metadata, json.loads(line))
            said: dict[str, Any] = {"done": True}
        except Exception as error:  # noqa: BLE001 -- whoever asked is told, and the rest goes on
            said = {"error": repr(error)}
        print(json.dumps(said), flush=True)  # noqa: T201
    for process in running:
        process.kill()


if __name__ == "__main__":
    main()

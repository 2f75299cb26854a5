"""AWS takes a spot machine back two minutes after a notice in the metadata service: then the run is ended."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from dayfly.keeper.beside import beside
from dayfly.runs import layout
from dayfly.runs.compat import UTC

LOOK_S = 5.0
SPOT = "spot"
"""The `reason` in stop.json that the runner tells as such."""
_ASK_S = 2.0
_TOKEN_S = 21600
_UNAUTHORIZED = 401


def metadata_endpoint(environ: Mapping[str, str]) -> str:
    """Where the instance's metadata service is."""
    given = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
    return given.rstrip("/")


class MetadataService:
    """The instance's metadata service, version 2 only, and never through a proxy."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._opener = build_opener(ProxyHandler({}))
        self._token = ""

    def spot_notice(self) -> dict[str, Any] | None:
        """What is announced (`action` and `time`); None when nothing is, or the service does not answer."""
        try:
            self._token = self._token or self._ask(
                "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_S)}
            )
            headers = {"X-aws-ec2-metadata-token": self._token}
            notice = json.loads(self._ask("GET", "/latest/meta-data/spot/instance-action", headers))
        except HTTPError as error:  # 404: nothing is announced
            if error.code == _UNAUTHORIZED:
                self._token = ""
            return None
        except (OSError, HTTPException, ValueError):
            return None
        return notice if isinstance(notice, dict) else None

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str:
        request = Request(self._endpoint + path, method=method, headers=headers)  # noqa: S310 -- http, by design
        with self._opener.open(request, timeout=_ASK_S) as answer:
            return str(answer.read().decode("utf-8"))


def ask_to_stop(run_dir: Path, notice: Mapping[str, Any]) -> None:
    """Write stop.json, whole or not at all, unless somebody has asked for the end already."""
    target = run_dir / layout.STOP
    asked = {"at": datetime.now(UTC).isoformat(), "by": "AWS", "reason": SPOT, "notice": dict(notice)}
    temporary = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    temporary.write_text(json.dumps(asked) + "\n", encoding="utf-8")
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def watch_spot(run_dir: Path, endpoint: str, *, look_s: float = LOOK_S) -> AbstractContextManager[None]:
    """Look for a notice, in a thread of its own, as long as the `with` block lasts."""
    service = MetadataService(endpoint)

    def watch(over: threading.Event) -> None:
        while True:
            notice = service.spot_notice()
            if notice is not None:
                try:
                    ask_to_stop(run_dir, notice)
                except OSError:
                    pass  # the disk is full: the next look tries again
                else:
                    return
            if over.wait(look_s):
                return

    return beside(watch, name="spot")

"""Git over HTTPS for CodeCommit, with the passwords that `aws codecommit credential-helper` makes.

After https://docs.aws.amazon.com/codecommit/latest/userguide/auth-and-access-control-permissions-reference.html
(codecommit:GitPull, codecommit:GitPush). The credential helper serves hosts of Amazon only. An instance
reaches us by Amazon's own name; for whoever asks at `localhost`, the clone URL has such a name below that,
which libcurl takes for this machine. The certificate names both.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import re
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ministack.app as ministack
from ministack.core import iam_evaluator, responses

from . import policy
from .world import WORLD

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_PATH = re.compile(r"/v1/repos/(?P<name>[\w.-]+)(?P<rest>/(info/refs|git-upload-pack|git-receive-pack))")


def clone_url(name: str, region: str, asked_at: str) -> str:
    """Where Git reaches a repository, for somebody who has asked at this host and port."""
    asked, _, port = asked_at.partition(":")
    host = f"git-codecommit.{region}.amazonaws.com{'.localhost' if asked == 'localhost' else ''}"
    return f"https://{host}:{port or os.environ['GATEWAY_PORT']}/v1/repos/{name}"


def install(folder: Path) -> None:
    """Serve the bare repositories `folder`/REGION/NAME.git, before ministack sees the request."""
    original = ministack.app

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        match = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if match is None:
            await original(scope, receive, send)
        else:
            await _serve(scope, receive, send, folder, match)

    ministack.app = application


async def _serve(scope: Scope, receive: Receive, send: Send, folder: Path, match: re.Match[str]) -> None:
    headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    query = scope["query_string"].decode()
    region = headers["host"].split(".")[1] if headers["host"].count(".") else responses.get_region()
    responses.set_request_account_id("")
    responses.set_request_region(region)
    operation = "GitPush" if "git-receive-pack" in f"{match['rest']}?{query}" else "GitPull"
    caller = _caller(headers, scope["path"].removesuffix(match["rest"]), region)
    arn = f"arn:aws:codecommit:{region}:{responses.get_account_id()}:{match['name']}"
    if not caller:
        status = 401
    elif not policy.allows(caller, f"codecommit:{operation}", arn):
        status = 403
    else:
        status = 200 if (folder / region / f"{match['name']}.git").is_dir() else 404
    entry = {"at": time.time(), "service": "codecommit", "operation": operation, "caller": caller}
    WORLD.requests.append(entry | {"resource": arn, "status": status, "code": ""})
    body = await _read(receive)
    if status != 200:  # noqa: PLR2004
        answered = status, [(b"www-authenticate", b'Basic realm="CodeCommit"')], b""
    else:
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(folder / region),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{match['name']}.git{match['rest']}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": scope["method"],
            "REMOTE_USER": caller,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
        }
        answered = await asyncio.to_thread(_backend, environ, body)
    await send({"type": "http.response.start", "status": answered[0], "headers": answered[1]})
    await send({"type": "http.response.body", "body": answered[2]})


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _backend(environ: dict[str, str], body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Git's own server, as a CGI program."""
    done = subprocess.run(["git", "http-backend"], env=environ, input=body, capture_output=True, check=True)
    head, _, said = done.stdout.partition(b"\r\n\r\n")
    headers = [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")]
    status = next((int(value.split()[0]) for name, value in headers if name == b"Status"), 200)
    return status, [(name.lower(), value) for name, value in headers if name != b"Status"], said


def _caller(headers: dict[str, str], path: str, region: str) -> str:
    """Whose the password is; empty when it is nobody's.

    The user is the access key, with `%` and the session's token; the password is an instant and a SigV4
    signature of the method GIT, the path and the host.
    """
    kind, _, encoded = headers.get("authorization", "").partition(" ")
    if kind != "Basic":
        return ""
    user, _, password = base64.b64decode(encoded).decode().partition(":")
    key, _, token = user.partition("%")
    known = iam_evaluator.resolve_credential(key, responses.get_account_id(), token or None)
    if isinstance(known, iam_evaluator.CredentialResolutionError):
        return ""
    instant, _, signature = password.partition("Z")
    host = headers["host"].partition(":")[0]
    canonical = hashlib.sha256(f"GIT\n{path}\n\nhost:{host}\n\nhost\n".encode()).hexdigest()
    day = instant[:8]
    text = f"AWS4-HMAC-SHA256\n{instant}\n{day}/{region}/codecommit/aws4_request\n{canonical}"
    secret = f"AWS4{known.secret_access_key}".encode()
    for part in (day, region, "codecommit", "aws4_request"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    right = hmac.digest(secret, text.encode(), "sha256").hex()
    return str(known.principal_arn) if hmac.compare_digest(right, signature) else ""

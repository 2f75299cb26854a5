"""The emulator's own paths, `/_dayfly/…`, for tests and for the rehearsal's instances. AWS has none of them.

GET  /_dayfly/health
POST /_dayfly/reset
GET, DELETE /_dayfly/requests
POST, DELETE /_dayfly/faults  a `world.Fault`; none from now on
DELETE /_dayfly/hanging    calls that hang are answered
POST /_dayfly/capacity     a `world.NoCapacity`
POST /_dayfly/quotas       {"quota_code", "value"}
GET, POST /_dayfly/clock   {"offset_s": absolute} or {"advance_s": more}
POST /_dayfly/credentials  {"role_arn", "session", "lifetime_s"}: whoever the role trusts
POST /_dayfly/images       {"repository", "tag", "manifest"}: pushed to the registry
POST /_dayfly/batch/images {"reference", "image"}: what the engine calls an image of ECR
POST /_dayfly/batch/lose   {"name", "index"}: the machine of a child that runs breaks
GET  /_dayfly/instances, /_dayfly/placeholders
POST /_dayfly/instances/ID/state    {"state": "stopped"|"terminated"|…}
POST /_dayfly/instances/ID/console  {"text": …}
POST /_dayfly/instances/ID/address  {"address": …}
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import ministack.app as ministack
from ministack.core import responses

from . import batch_engine, batch_jobs, codecommit, instances, registry, scheduler
from .sessions import mint
from .world import WORLD, Fault, NoCapacity

PREFIX = "/_dayfly/"
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Ministack's own ASGI application, with our paths before it."""
    if scope["type"] == "http" and scope["path"].startswith(PREFIX):
        await _serve(scope, receive, send)
    else:
        await ministack.app(scope, receive, send)


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    responses.set_request_account_id("")
    responses.set_request_region(None)
    try:
        said = await _answer(
            scope["method"], scope["path"].removeprefix(PREFIX), json.loads(body) if body else {}
        )
        status = 200
    except Exception as error:  # noqa: BLE001 -- the asker is told, and the emulator goes on
        said, status = {"error": repr(error)}, 400
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(said, default=str).encode()})


async def _answer(  # noqa: C901, PLR0911, PLR0912 -- the table of paths above, a line each
    method: str, path: str, asked: dict[str, Any]
) -> Any:
    match method, path.split("/"):
        case "GET", ["health"]:
            return {"ministack": "ready"}
        case "POST", ["reset"]:
            return _reset()
        case "GET", ["requests"]:
            return WORLD.requests
        case "DELETE", ["requests"]:
            return WORLD.requests.clear()
        case "POST", ["faults"]:
            return WORLD.faults.append(Fault(**asked))
        case "DELETE", ["faults"]:
            return WORLD.heal()
        case "DELETE", ["hanging"]:
            return WORLD.release()
        case "POST", ["capacity"]:
            return WORLD.no_capacity.append(NoCapacity(**asked))
        case "POST", ["quotas"]:
            return WORLD.quotas.update({asked["quota_code"]: float(asked["value"])})
        case "GET", ["clock"]:
            return {"offset_s": WORLD.offset_s, "now": WORLD.now()}
        case "POST", ["clock"]:
            offset = asked.get("offset_s", WORLD.offset_s) + asked.get("advance_s", 0.0)
            return {"offset_s": await scheduler.move_clock(offset)}
        case "POST", ["credentials"]:
            return mint(asked["role_arn"], asked.get("session", "rehearsal"), asked.get("lifetime_s", 3600))
        case "POST", ["images"]:
            return registry.know_image(asked)
        case "POST", ["batch", "images"]:
            return batch_jobs.IMAGES.update({asked["reference"]: asked["image"]})
        case "POST", ["batch", "lose"]:
            return batch_jobs.LOSSES.append(asked)
        case "GET", ["instances"]:
            return instances.standing()
        case "GET", ["placeholders"]:
            return WORLD.placeholders
        case "POST", ["instances", instance_id, "state"]:
            return instances.set_state(instance_id, asked["state"])
        case "POST", ["instances", instance_id, "console"]:
            return WORLD.console.update({instance_id: asked["text"]})
        case "POST", ["instances", instance_id, "address"]:
            return instances.set_address(instance_id, asked["address"])
    raise LookupError(f"{method} {PREFIX}{path}")


def _reset() -> None:
    ministack._reset_all_state()
    WORLD.reset()
    codecommit.reset()
    batch_engine.reset()

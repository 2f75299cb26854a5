"""EventBridge Scheduler: universal targets, rates between two dates, and a clock that can be moved.

After https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html: a target
`arn:aws:scheduler:::aws-sdk:SERVICE:ACTION` calls that action with the schedule's input, as the schedule's
role, so that role's policies decide. And
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-delete.html: with
ActionAfterCompletion DELETE, a schedule goes after its last invocation: one of a rate when its end date has
passed.

A call that fails is not repeated here (AWS repeats it for up to a day); the next occurrence tries again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from typing import Any

import botocore.session
import ministack.app as ministack
from botocore import xform_name
from botocore.config import Config
from ministack.core import responses
from ministack.services import eventbridge, scheduler

from .sessions import mint
from .world import WORLD

Key = tuple[Any, ...]
Schedule = dict[str, Any]
_UNIVERSAL = re.compile(r"arn:aws:scheduler:::aws-sdk:(?P<service>[a-z0-9-]+):(?P<action>[A-Za-z0-9]+)")
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_AT = re.compile(r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)")
_SECONDS = {"minute": 60.0, "hour": 3600.0, "day": 86400.0}
_CLIENTS: dict[tuple[str, str], Any] = {}
_SWEEPING = asyncio.Lock()
"""Held by who fires what is due: what one has begun to fire, another would take for done."""
_log = logging.getLogger("dayfly")


def install() -> None:
    """Take the firing over from ministack, whose universal targets do nothing."""
    scheduler._now = WORLD.now
    scheduler._SCHEDULE_TICK_INTERVAL = 1
    scheduler._tick_schedules = _tick


def _tick() -> None:
    """Called each second, in a thread."""
    if ministack._MAIN_LOOP is not None:
        asyncio.run_coroutine_threadsafe(_look(), ministack._MAIN_LOOP)


async def _look() -> None:
    """Fire what is due, unless somebody is at it."""
    if not _SWEEPING.locked():
        async with _SWEEPING:
            await _sweep(WORLD.now())


async def move_clock(offset_s: float) -> float:
    """Set the clock, and do one after the other what falls due on the way: it is done when this returns."""
    async with _SWEEPING:
        now = WORLD.now()
        target = now - WORLD.offset_s + offset_s
        while (due := _next_due(target)) is not None:
            WORLD.offset_s += max(0.0, due - WORLD.now())
            await _sweep(due)
            await asyncio.sleep(0.05)  # stacks that are being deleted get their turn
        WORLD.offset_s = offset_s
        await _sweep(WORLD.now())
        return WORLD.offset_s


def _next_due(until: float) -> float | None:
    found = [
        one for key, schedule in scheduler._schedules._data.items() for one in _due(key, schedule, until)[:1]
    ]
    return min(found, default=None)


async def _sweep(now: float) -> None:
    """Fire what is due, and remove what is over."""
    for key, schedule in list(scheduler._schedules._data.items()):
        if schedule["State"] != "ENABLED" or key not in scheduler._schedules._data:
            continue  # while another was fired, it was deleted, or all was forgotten
        due = _due(key, schedule, now)
        WORLD.fired[key] = max(now, WORLD.fired.get(key, 0.0))
        if due:  # those that were missed are not made up for
            await _fire(key, schedule)
        if schedule["ActionAfterCompletion"] == "DELETE" and _over(schedule, now):
            scheduler._schedules._data.pop(key, None)
            WORLD.fired.pop(key, None)


def _due(key: Key, schedule: Schedule, until: float) -> list[float]:
    """The occurrences that were not seen to yet, up to `until`."""
    if schedule["State"] != "ENABLED":
        return []
    seen = WORLD.fired.get(key, schedule["CreationDate"] - 1.0)
    until = min(until, _end(schedule))
    expression = schedule["ScheduleExpression"]
    if at := scheduler._at_time_epoch(expression):
        return [at] if seen < at <= until else []
    if rate := rate_seconds(expression):
        start = scheduler._to_epoch(schedule.get("StartDate")) or schedule["CreationDate"]
        first = max(0, int((seen - start) // rate) + 1)
        last = int((until - start) // rate)
        return [start + number * rate for number in range(first, last + 1)]
    return _cron_due(schedule, seen, until)


def _cron_due(schedule: Schedule, seen: float, until: float) -> list[float]:
    from datetime import UTC, datetime

    fields = eventbridge._parse_cron_fields(schedule["ScheduleExpression"])
    start = scheduler._to_epoch(schedule.get("StartDate")) or 0.0
    found: list[float] = []
    at = datetime.fromtimestamp(max(seen, start), tz=UTC)
    while fields is not None and (at := eventbridge._cron_next_fire(fields, at)) and at.timestamp() <= until:
        found.append(at.timestamp())
    return found


def rate_seconds(expression: str) -> float | None:
    """The period of `rate(10 minutes)`; None of anything else."""
    match = _RATE.fullmatch(expression.strip())
    return float(match[1]) * _SECONDS[match[2]] if match else None


def is_valid(expression: str) -> bool:
    """Whether AWS takes this as a schedule."""
    text = expression.strip()
    return bool(_RATE.fullmatch(text) or _AT.fullmatch(text) or eventbridge._parse_cron_fields(text))


def _end(schedule: Schedule) -> float:
    return scheduler._to_epoch(schedule.get("EndDate")) or float("inf")


def _over(schedule: Schedule, now: float) -> bool:
    at = scheduler._at_time_epoch(schedule["ScheduleExpression"])
    return now > _end(schedule) or (at is not None and now >= at)


async def _fire(key: Key, schedule: Schedule) -> None:
    account, region = key[0], key[1]
    target = schedule["Target"]
    if not (match := _UNIVERSAL.fullmatch(target["Arn"])):
        with responses.request_scope(account, region):
            event = {
                "EventId": responses.new_uuid(),
                "Source": "aws.scheduler",
                "DetailType": "Scheduled Event",
            }
            eventbridge._invoke_target(target, event | {"Detail": "{}", "Time": WORLD.now()}, schedule)
        return
    try:
        await asyncio.to_thread(_call, region, match["service"], match["action"], target)
    except Exception as error:  # noqa: BLE001 -- AWS tells nobody either: what was refused is in the request log
        _log.warning("%s: %s", schedule["Name"], error)


def _call(region: str, service: str, action: str, target: dict[str, Any]) -> None:
    """The action, over the API and as the role: what its policies deny is denied."""
    keys = mint(target["RoleArn"], "scheduler")
    if (service, region) not in _CLIENTS:
        _CLIENTS[service, region] = botocore.session.Session()
    client = _CLIENTS[service, region].create_client(
        service,
        region_name=region,
        endpoint_url=f"https://localhost:{os.environ['GATEWAY_PORT']}",
        verify=os.environ["MINISTACK_SSL_CERT"],
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
        aws_session_token=keys["session_token"],
        config=Config(retries={"max_attempts": 0}),
    )
    try:
        operation = action[0].upper() + action[1:]
        shape = client.meta.service_model.operation_model(operation).input_shape
        # Inputs are in PascalCase, whatever the service's own parameters are in.
        named = {name.lower(): name for name in (shape.members if shape is not None else ())}
        asked = json.loads(target.get("Input") or "{}")
        parameters = {named.get(name.lower(), name): value for name, value in asked.items()}
        getattr(client, xform_name(operation))(**parameters)
    finally:
        client.close()

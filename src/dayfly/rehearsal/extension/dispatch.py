"""Around every API call: the request log, injected faults, and services that ministack does not have."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import ministack.app as ministack
from ministack.core import iam_actions, iam_evaluator, responses, router

from .world import WORLD, Answer, Fault

Headers = dict[str, str]
Query = dict[str, list[str]]
Handler = Callable[[str, dict[str, Any]], Answer]
"""(operation, JSON body) → answer."""
Guard = Callable[["Call"], "Answer | None"]

_SERVICES: dict[str, Handler] = {}
_GUARDS: list[Guard] = []
ASKED_AT: ContextVar[str] = ContextVar("ASKED_AT", default="localhost")
"""Host and port under which the caller of an added service reaches us."""
_JSON = "application/x-amz-json-1.1"


class Call:
    """One API call, as far as it can be told before it is carried out."""

    def __init__(self, method: str, path: str, headers: Headers, body: bytes, query: Query) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.parameters = ministack._routing_params(method, path, headers, body, query)
        self.service: str = router.detect_service(method, path, headers, self.parameters)
        self.region: str = router.extract_region(headers)
        self.access_key: str = router.extract_access_key_id(headers, query) or ""
        self.action: str = (
            iam_actions.extract_iam_action(self.service, method, path, headers, body, self.parameters)
            or f"{self.service}:{method}"
        )

    @property
    def operation(self) -> str:
        """`CreateStack`."""
        return self.action.partition(":")[2]

    @property
    def caller(self) -> str:
        """The ARN of whose key it is; empty when nobody's."""
        known = iam_evaluator.resolve_caller_identity(self.access_key)
        return str(known["userArn"]) if known else ""

    @property
    def resource(self) -> str:
        """The ARN that policies are evaluated against, or `*`."""
        return str(
            iam_actions.extract_resource_arn(
                self.service,
                self.method,
                self.path,
                self.headers,
                self.body,
                self.parameters,
                self.region,
                responses.get_account_id(),
            )
        )

    def parameter(self, name: str) -> str:
        """A parameter of a query-protocol call; empty when absent."""
        value = self.parameters.get(name, [""])
        return str(value[0] if isinstance(value, list) else value)

    def json(self) -> dict[str, Any]:
        """The body of a JSON-protocol call."""
        said = json.loads(self.body or b"{}")
        return said if isinstance(said, dict) else {}

    def denied(self, action: str, resource: str, context: dict[str, Any] | None = None) -> Answer | None:
        """AccessDenied when the caller's policies do not allow `action` on `resource`; None when they do."""
        result = iam_evaluator.enforce(self.access_key, action, self.service, self.region, resource, context)
        if result is None:
            return None
        return refuse(
            self,
            "AccessDenied",
            f"User: {self.caller} is not authorized to perform: {action} on resource: {resource} because no "
            f"identity-based policy allows the {action} action",
            403,
        )


def add_service(scope: str, target_prefix: str, handler: Handler, *, namespace: str | None = None) -> None:
    """A JSON service that ministack does not have, by its signing name and the prefix of `X-Amz-Target`."""
    router.SERVICE_PATTERNS[scope] = {"target_prefixes": [target_prefix]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[scope] = namespace or scope
    _SERVICES[scope] = handler

    async def handle(_method: str, _path: str, headers: Headers, body: bytes, _query: Query) -> Answer:
        ASKED_AT.set(headers.get("host", "localhost"))
        return handler(headers.get("x-amz-target", "").rpartition(".")[2], json.loads(body or b"{}"))

    ministack.SERVICE_HANDLERS[scope] = handle


def add_guard(guard: Guard) -> None:
    """Something that may refuse a call which ministack would accept; asked before ministack is."""
    _GUARDS.append(guard)


def json_answer(body: dict[str, Any]) -> Answer:
    """A success of a JSON service."""
    return 200, {"Content-Type": _JSON}, json.dumps(body, default=str).encode()


def json_error(code: str, message: str, status: int = 400) -> Answer:
    """An error of a JSON service."""
    headers = {"Content-Type": _JSON, "x-amzn-errortype": code}
    return status, headers, json.dumps({"__type": code, "message": message, "Message": message}).encode()


def refuse(call: Call, code: str, message: str, status: int = 400) -> Answer:
    """An error in the words of the call's own protocol."""
    if call.service in ("ec2", "cloudformation", "iam", "sts", "sns", "s3"):
        said = iam_actions._xml_escape(message)
        named = (
            {"ec2": "UnauthorizedOperation"}.get(call.service, "AccessDenied")
            if code == "AccessDenied"
            else code
        )
        error = f"<Code>{named}</Code><Message>{said}</Message>"
        request = uuid.uuid4()
        if call.service == "ec2":
            inner = f"<Errors><Error>{error}</Error></Errors><RequestID>{request}</RequestID>"
            body = f"<Response>{inner}</Response>"
        elif call.service == "s3":
            body = f"<Error>{error}<RequestId>{request}</RequestId></Error>"
        else:
            inner = f"<Error><Type>Sender</Type>{error}</Error><RequestId>{request}</RequestId>"
            body = f"<ErrorResponse>{inner}</ErrorResponse>"
        return status, {"Content-Type": "text/xml"}, f'<?xml version="1.0"?>\n{body}'.encode()
    named = "AccessDeniedException" if code == "AccessDenied" else code
    return json_error(named, message, status)


def _fault_answer(call: Call, fault: Fault) -> Answer:
    match fault.kind:
        case "deny":
            asked = f"{call.action} on resource: {call.resource}"
            said = f"User: {call.caller} is not authorized to perform: {asked}"
            return refuse(call, fault.code or "AccessDenied", fault.message or said, fault.status or 403)
        case "throttle":
            code = {"ec2": "RequestLimitExceeded", "s3": "SlowDown"}.get(call.service, "ThrottlingException")
            code = "Throttling" if call.service in ("cloudformation", "iam", "sts") else code
            status = 503 if call.service in ("ec2", "s3") else 400
            return refuse(call, fault.code or code, fault.message or "Rate exceeded", fault.status or status)
        case _:
            said = "An internal error has occurred"
            return refuse(call, fault.code or "InternalError", fault.message or said, fault.status or 500)


_FORGOTTEN: Answer = (503, {}, b"")


def install() -> None:
    """Put ourselves around ministack's dispatcher."""
    original: Callable[..., Awaitable[Answer]] = ministack._dispatch_service_request

    async def dispatch(  # noqa: PLR0913, PLR0917 -- ministack's signature
        method: str, path: str, headers: Headers, body: bytes, query: Query, request_id: str
    ) -> Answer:
        call = Call(method, path, headers, body, query)
        entry = {
            "at": time.time(),
            "service": call.service,
            "operation": call.operation,
            "caller": call.caller,
            "resource": call.resource,
        }

        async def carry_out() -> Answer:
            return await _carry_out(
                call, fault, lambda: original(method, path, headers, body, query, request_id)
            )

        fault = WORLD.take_fault(f"{call.service}:{call.operation}")
        delay_s = fault.delay_s if fault is not None else 0.0
        answer = await carry_out() if fault is None or fault.after or not delay_s else None
        # Whoever waits for a call that hangs sees it as soon as it does, and what was done before it does.
        entry |= {"status": 0, "code": ""}
        WORLD.requests.append(entry)
        released = await _hang(delay_s)
        if answer is None:
            answer = _FORGOTTEN if released else await carry_out()
        entry |= {"status": answer[0], "code": _error_code(answer)}
        return answer

    ministack._dispatch_service_request = dispatch


async def _hang(delay_s: float) -> bool:
    """Hang so long, or until those that hang are released: whether they were."""
    hanging = WORLD.hanging
    await asyncio.sleep(0)
    if delay_s:
        with suppress(TimeoutError):
            await asyncio.wait_for(hanging.wait(), delay_s)
    return hanging.is_set()


async def _carry_out(call: Call, fault: Fault | None, original: Callable[[], Awaitable[Answer]]) -> Answer:
    if fault is not None and fault.kind != "delay":
        if fault.after:
            await original()
        return _fault_answer(call, fault)
    if ministack.AUTH and _GUARDS:
        iam_evaluator.pin_request_caller(call.headers, call.parameters)
        for guard in _GUARDS:
            refused = guard(call)
            if refused is not None:
                return refused
    return await original()


def _error_code(answer: Answer) -> str:
    status, headers, body = answer
    if status < 400:  # noqa: PLR2004
        return ""
    named = headers.get("x-amzn-errortype", "").partition(":")[0]
    # Some of ministack's handlers answer with text.
    text = body[:2000].decode(errors="replace") if hasattr(body, "decode") else str(body)
    found = re.search(r"<Code>([^<]+)</Code>", text) or re.search(r'"(?:__type|code)":\s*"([^"]+)"', text)
    return named or (found[1].rpartition("#")[2] if found else "")

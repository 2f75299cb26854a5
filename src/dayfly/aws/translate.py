"""AWS's errors in words: what happened, why, and the command or policy line that mends it."""

from __future__ import annotations

import re
from typing import Any

from dayfly.errors import AwsError

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
_ACTION = re.compile(r"perform:? (?P<action>[a-z0-9-]+:\w+)(?: on resource: (?P<resource>\S+))?")
_EXPIRED = ("The AWS session has expired.", "Log in again: aws sso login, and repeat the command.")
_UNKNOWN = ("AWS does not know these credentials.", "See which are used with: aws configure list")
_NONE = (
    "There are no AWS credentials.",
    "Try: aws sso login, or aws configure; or name a profile: AWS_PROFILE=name",
)
_UNREACHABLE = (
    "AWS cannot be reached.",
    "Look at the name of the region, at the network, and at AWS_ENDPOINT_URL if it is set.",
)
_BUSY = ("AWS asks to be called less often.", "Wait a minute, and repeat the command.")
_WRONG_CLOCK = (
    "The clock of this computer is wrong.",
    "Set it by the network's time: AWS takes no request that is signed with another time than its own.",
)
_CLOCKS_DIFFER = re.compile(r"signature (?:expired|not yet current)", re.IGNORECASE)
_THROTTLED = (
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"),
    *("RequestLimitExceeded", "TooManyRequestsException", "SlowDown"),
)
_CUT_OFF = (
    *("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"),
    *("ConnectionError", "HTTPClientError", "SSLError", "ProxyConnectionError", "ResponseStreamingError"),
)
_UNSENT = ("EndpointConnectionError", "ConnectTimeoutError")
_FAILING = frozenset(
    {
        *("InternalFailure", "InternalError", "InternalServerError", "InternalServerException"),
        *("ServiceUnavailable", "ServiceUnavailableException", "Unavailable", "RequestTimeout"),
        *("500", "502", "503", "504"),
    }
)
_SENTENCES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired"), _EXPIRED),
    **dict.fromkeys(
        ("TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "SSOError"), _EXPIRED
    ),
    **dict.fromkeys(("InvalidClientTokenId", "UnrecognizedClientException"), _UNKNOWN),
    **dict.fromkeys(("SignatureDoesNotMatch", "AuthFailure"), _UNKNOWN),
    **dict.fromkeys(("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"), _NONE),
    "NoRegionError": (
        "It is not known in which AWS region to work.",
        'Name it: --region, [aws] region = "eu-central-1" in dayfly.toml, or aws configure',
    ),
    "ProfileNotFound": (
        "There is no such AWS profile.",
        "See which there are with: aws configure list-profiles",
    ),
    **dict.fromkeys(_CUT_OFF, _UNREACHABLE),
    **dict.fromkeys(_THROTTLED, _BUSY),
    "RequestTimeTooSkewed": _WRONG_CLOCK,
}
"""What happened and what to do next, by AWS's or botocore's name of the error."""


def translate_error(error: Exception, *, service: str, operation: str) -> AwsError:
    """The error that a user is told. `code` and `operation` stay for whoever handles it."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", "") or type(error).__name__)
    said = str(response.get("Error", {}).get("Message", "") or error).strip()
    what, why, hint = _words(code, said, service, operation)
    return AwsError(what, why=why, hint=hint, code=code, operation=operation, message=said)


def is_transient(error: AwsError) -> bool:
    """Whether the same call may succeed in a moment: AWS is busy or ill, or the network is away.

    Nothing is known of what was asked then: it may have been done, and its answer lost.
    """
    return error.code in _FAILING or error.code in {*_THROTTLED, *_CUT_OFF}


def never_arrived(error: AwsError) -> bool:
    """Whether AWS has not even taken up what was asked: it may be asked again, and nothing is done twice."""
    return error.code in _THROTTLED or error.code in _UNSENT


def _words(code: str, said: str, service: str, operation: str) -> tuple[str, str, str]:
    if code in _DENIED:
        return _denied(said, service, operation)
    if _CLOCKS_DIFFER.search(said):
        return _WRONG_CLOCK[0], said, _WRONG_CLOCK[1]
    if code in _SENTENCES:
        what, hint = _SENTENCES[code]
        return what, said, hint
    return f"AWS refused {service}:{operation}: {code}.", said, ""


def _denied(said: str, service: str, operation: str) -> tuple[str, str, str]:
    """With the line that a policy lacks."""
    match = _ACTION.search(said)
    action = match["action"] if match else f"{_iam_prefix(service)}:{operation}"
    resource = (match["resource"] if match else None) or "*"
    line = f'{{"Effect": "Allow", "Action": "{action}", "Resource": "{resource.rstrip(".")}"}}'
    return (
        f"AWS does not allow {action} to these credentials.",
        said,
        f"Whoever administers the account can allow it: dayfly cloud policy user, or this line:\n{line}",
    )


def _iam_prefix(service: str) -> str:
    """The service's name in IAM, where it is another than in the API."""
    return {"service-quotas": "servicequotas"}.get(service, service)

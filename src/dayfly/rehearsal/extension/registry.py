"""ECR with a real registry beside it: its password is the token's, and what is pushed there is an image here.

After https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html: the token is
the base64 of `AWS:password`, and the endpoint is that of the account's registry.
"""

from __future__ import annotations

import base64
import os
import time
from typing import Any

from ministack.core import responses
from ministack.core.responses import get_account_id, get_region
from ministack.services import ecr

_VALID_S = 12 * 3600
Answer = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Give out the registry's password, where there is one."""
    password = os.environ.get("DAYFLY_REGISTRY_PASSWORD")
    if password:
        ecr._get_authorization_token = lambda _: _authorize(password)


def _authorize(password: str) -> Answer:
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    endpoint = f"https://{get_account_id()}.dkr.ecr.{get_region()}.amazonaws.com"
    data = {"authorizationToken": token, "expiresAt": int(time.time()) + _VALID_S, "proxyEndpoint": endpoint}
    answer: Answer = responses.json_response({"authorizationData": [data]})
    return answer


def know_image(pushed: dict[str, str]) -> None:
    """An image was pushed to the registry. One that is there already is no error."""
    responses.set_request_account_id(os.environ["MINISTACK_ACCOUNT_ID"])
    responses.set_request_region(os.environ["MINISTACK_REGION"])
    asked: dict[str, Any] = {
        "repositoryName": pushed["repository"],
        "imageManifest": pushed["manifest"],
        "imageTag": pushed["tag"],
    }
    ecr._put_image(asked)

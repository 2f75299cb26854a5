"""Credentials of roles, for what acts inside AWS: instances, the scheduler, CloudFormation."""

from __future__ import annotations

import time

from ministack.services import sts


def mint(role_arn: str, session: str, lifetime_s: float = 3600.0) -> dict[str, str]:
    """Credentials of a role without asking whom it trusts, valid for so long.

    An instance, the scheduler and CloudFormation get theirs inside AWS: what they check is checked elsewhere.
    """
    key, secret, token = sts._gen_session_access_key(), sts._gen_secret(), sts._gen_session_token()
    arn, problem = sts._assumed_role_arn(role_arn, session)
    if problem:
        raise ValueError(problem[2].decode())
    sts.register_session(
        key,
        {
            "Arn": arn,
            "UserId": f"{sts._role_id(role_arn)}:{session}",
            "SecretAccessKey": secret,
            "SessionToken": token,
            "Expiration": time.time() + lifetime_s,
            "AccountId": role_arn.split(":")[4],
            "PrincipalType": "AssumedRole",
        },
    )
    expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lifetime_s))
    return {
        "access_key_id": key,
        "secret_access_key": secret,
        "session_token": token,
        "expiration": expiration,
    }

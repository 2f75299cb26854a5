"""Everything that a run needs, looked at: each check tells what it found, and what mends it.

Checks look and change nothing, but for the probe that writes one small object into the bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dayfly.aws.base import TEMPLATE_VERSION, BaseStack, read_base
from dayfly.aws.identity import Identity
from dayfly.aws.names import base_stack_name
from dayfly.aws.stacks import find_stack
from dayfly.errors import AwsError, DayflyError

if TYPE_CHECKING:
    from dayfly.aws.client import Aws
    from dayfly.runs.store import Store

CLOCKS_MAY_DIFFER = timedelta(minutes=5)
"""AWS refuses signatures that are older, or from the future."""
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_THREADS = 8


class Verdict(StrEnum):
    """How a check came out. `note`: not wrong, but something cannot be done, or could not be looked at."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found. `mend` is what to do, empty when all is well."""

    check: str
    verdict: Verdict
    found: str
    mend: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check=check, verdict=Verdict.OK, found=found)


def note(check: str, found: str, mend: str = "") -> Finding:
    """Not wrong, but worth knowing."""
    return Finding(check=check, verdict=Verdict.NOTE, found=found, mend=mend)


def wrong(check: str, found: str, mend: str) -> Finding:
    """Something that a run will fail at."""
    return Finding(check=check, verdict=Verdict.WRONG, found=found, mend=mend)


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What the checks look at, once who we are and where the base stack is are known."""

    aws: Aws
    project: str
    identity: Identity
    base: BaseStack
    store: Store
    """The project's bucket."""


Check = Callable[[], Sequence[Finding]]


def examine(checks: Sequence[tuple[str, Check]]) -> list[Finding]:
    """Carry out all checks at once; findings come in the order of the checks.

    A check that fails is a finding: wrong, or a note when these credentials may not look.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return [one for found in pool.map(lambda named: _examine(*named), checks) for one in found]


def _examine(name: str, check: Check) -> Sequence[Finding]:
    try:
        return check()
    except AwsError as error:
        if error.code in DENIED:
            return [note(name, "not looked at: these credentials may not", error.hint)]
        return [_from_error(name, error)]
    except DayflyError as error:
        return [_from_error(name, error)]


def _from_error(name: str, error: DayflyError) -> Finding:
    return wrong(name, " ".join(part for part in (error.what, error.why) if part), error.hint)


def examine_identity(aws: Aws) -> tuple[Identity | None, list[Finding]]:
    """Who we are, in which region, and whether our clock is AWS's. No other check works without."""
    try:
        told: Any = aws.sts.get_caller_identity()
    except AwsError as error:
        return None, [_from_error("credentials", error)]
    arn = told["Arn"]
    identity = Identity(account=told["Account"], arn=arn, partition=arn.split(":")[1])
    headers = told.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return identity, [
        ok("credentials", f"account {identity.account}, as {arn.partition(':' + identity.account + ':')[2]}"),
        ok("region", aws.region + (f", profile {aws.profile}" if aws.profile else "")),
        *judge_clock(headers.get("date"), aws.now()),
    ]


def judge_clock(date: str | None, now: datetime) -> list[Finding]:
    """Our clock beside the `Date` of AWS's answer; nothing when that cannot be read."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return []
    # Some servers say no zone; HTTP knows but one.
    skew = now - (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC))
    seconds = abs(skew.total_seconds())
    if abs(skew) <= CLOCKS_MAY_DIFFER:
        return [ok("clock", "agrees with AWS" if seconds < 60 else f"{seconds:.0f} s from AWS's")]  # noqa: PLR2004 -- a minute is nothing
    way = "fast" if skew > timedelta() else "slow"
    return [
        wrong(
            "clock",
            f"This machine's clock is {seconds / 60:.0f} minutes {way}; AWS refuses signatures after 5.",
            "Set it: timedatectl set-ntp true, or restart the virtual machine",
        )
    ]


def examine_base(aws: Aws, project: str) -> tuple[BaseStack | None, list[Finding]]:
    """The base stack, and whether it is there, whole, and new enough."""
    try:
        return _examine_base(aws, project)
    except AwsError as error:
        return None, [_from_error("base stack", error)]


def _examine_base(aws: Aws, project: str) -> tuple[BaseStack | None, list[Finding]]:
    name = base_stack_name(project)
    stack = find_stack(aws, name)
    if stack is None:
        what = f"There is no stack {name} in {aws.region}."
        return None, [wrong("base stack", what, "See it and make it: dayfly cloud plan, dayfly cloud up")]
    if stack.status.endswith("FAILED") or stack.status in {"ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"}:
        return None, [_broken(aws, name, stack.status, stack.stack_id)]
    base = read_base(project, aws.region, stack)
    finding = ok("base stack", f"{name}, version {base.version}, {base.status}")
    if base.version < TEMPLATE_VERSION:
        what = f"{name} is of version {base.version}; this dayfly needs version {TEMPLATE_VERSION}."
        finding = wrong("base stack", what, "Bring it up to date: dayfly cloud up")
    elif stack.busy:
        finding = note("base stack", f"{name} is being changed: {stack.status}.", "Wait for its end.")
    return base, [finding]


def _broken(aws: Aws, name: str, status: str, stack_id: str) -> Finding:
    """A base stack in which something went wrong: at which resource, and what mends it."""
    from dayfly.aws.teardown import find_end

    why = find_end(aws, stack_id).why
    mend = "Repeat what was asked: dayfly cloud down"
    if status in {"ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "CREATE_FAILED", "ROLLBACK_FAILED"}:
        mend = "Make it anew: dayfly cloud up"
    elif status.startswith("UPDATE"):
        mend = f"Mend it, then: aws cloudformation continue-update-rollback --stack-name {name}"
    return wrong("base stack", f"{name} is {status}." + (f" {why}" if why else ""), mend)

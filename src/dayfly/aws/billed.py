"""What AWS has charged, by run: from Cost Explorer, which costs a cent a request and lags by a day.

It knows a tag only after somebody has made it a cost allocation tag, once for the account that pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from dayfly.aws.client import Aws
from dayfly.aws.names import PROJECT_TAG, RUN_TAG
from dayfly.errors import AwsError

if TYPE_CHECKING:
    from mypy_boto3_ce.type_defs import GetCostAndUsageRequestTypeDef

REQUEST_PRICE = Decimal("0.01")
"""Dollars that Cost Explorer charges for a request."""
KEPT_FOR = timedelta(days=365)
"""How far back it is asked: it keeps some months more, but not in every account."""
HOW_TO_ACTIVATE = (
    f"Cost Explorer knows {PROJECT_TAG} and {RUN_TAG} once they are cost allocation tags. Whoever pays for\n"
    "the account activates them, once, in the console: Billing, Cost allocation tags. AWS lists a tag there\n"
    "a day after its first use, and counts from its activation on."
)
_NOT_READY = {"DataUnavailableException", "BillExpirationException"}


@dataclass(frozen=True, kw_only=True)
class Billed:
    """Dollars by run id. `shared` is what the project cost beside its runs, `requests` what was asked."""

    by_run: Mapping[str, Decimal]
    shared: Decimal
    requests: int

    @property
    def nothing(self) -> bool:
        """Whether AWS knows nothing at all: there was nothing, or the tags are not activated."""
        return not self.by_run and not self.shared


def load_billed(aws: Aws, project: str, *, since: datetime) -> Billed:
    """What AWS has charged for a project's runs since a day, until today.

    One request, or one more for each further page. Raises AwsError.
    """
    today = aws.now().astimezone(UTC).date()
    first = max(since.astimezone(UTC).date(), today - KEPT_FOR)
    request: GetCostAndUsageRequestTypeDef = {
        "TimePeriod": {"Start": first.isoformat(), "End": (today + timedelta(days=1)).isoformat()},
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost"],
        "Filter": {"Tags": {"Key": PROJECT_TAG, "Values": [project], "MatchOptions": ["EQUALS"]}},
        "GroupBy": [{"Type": "TAG", "Key": RUN_TAG}],
    }
    by_run: dict[str, Decimal] = {}
    requests = 0
    while True:
        page = _ask(aws, request)
        requests += 1
        for period in page.get("ResultsByTime", []):
            for group in period.get("Groups", []):
                run_id, amount = read_group(group)
                by_run[run_id] = by_run.get(run_id, Decimal(0)) + amount
        token = page.get("NextPageToken")
        if not token:
            break
        request["NextPageToken"] = token
    shared = by_run.pop("", Decimal(0))
    return Billed(by_run=by_run, shared=shared, requests=requests)


def _ask(aws: Aws, request: GetCostAndUsageRequestTypeDef) -> Mapping[str, Any]:
    try:
        return aws.cost_explorer.get_cost_and_usage(**request)
    except AwsError as error:
        if error.code not in _NOT_READY:
            raise
        raise AwsError(
            "Cost Explorer has no data for this account yet.",
            why=error.message,
            hint="It begins a day after it is first opened in the console: Billing, Cost Explorer.",
            code=error.code,
            operation=error.operation,
            message=error.message,
        ) from error


def read_group(group: Mapping[str, Any]) -> tuple[str, Decimal]:
    """The run id and the dollars of one group: its key is the tag's name, `$`, and the tag's value."""
    key = next(iter(group.get("Keys", [])), "")
    amount = group.get("Metrics", {}).get("UnblendedCost", {}).get("Amount", "0")
    try:
        dollars = Decimal(str(amount))
    except InvalidOperation:
        dollars = Decimal(0)
    return str(key).partition("$")[2], dollars if dollars.is_finite() else Decimal(0)

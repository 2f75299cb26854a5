"""The one way to AWS: sessions, typed clients, and errors in words.

Every client that is handed out raises AwsError in place of botocore's errors, so that whoever calls reads
`error.code` and whoever uses dayfly reads a sentence. Credentials are what boto3 finds: environment,
profiles, SSO, assumed roles. `AWS_ENDPOINT_URL` leads elsewhere, as for every tool that uses boto3.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from dayfly.aws.translate import translate_error
from dayfly.errors import MissingExtraError

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_batch.client import BatchClient
    from mypy_boto3_ce.client import CostExplorerClient
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_codecommit.client import CodeCommitClient
    from mypy_boto3_ec2.client import EC2Client
    from mypy_boto3_ecr.client import ECRClient
    from mypy_boto3_iam.client import IAMClient
    from mypy_boto3_pricing.client import PricingClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_scheduler.client import EventBridgeSchedulerClient
    from mypy_boto3_service_quotas.client import ServiceQuotasClient
    from mypy_boto3_ssm.client import SSMClient
    from mypy_boto3_sts.client import STSClient

_ATTEMPTS = 6
_CONNECT_S = 10
_READ_S = 60


_CLOCKS_AGREE = timedelta(seconds=20)
"""An answer takes seconds, and its date has no fraction: so much is no difference."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class AwsClock:
    """The time by AWS's clock, as far as its answers have told it; else by this computer's.

    A deadline is made on the laptop and kept by AWS and by the machine: a laptop that is five minutes wrong,
    which AWS still talks to, must not make it five minutes longer or shorter.
    """

    def __init__(self, own: Callable[[], datetime] = _utc_now) -> None:
        self._own = own
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        """Now, in UTC."""
        return self._own() + self._ahead

    def hear(self, date: str) -> None:
        """Learn from an answer's Date header; one that cannot be read says nothing."""
        try:
            said = parsedate_to_datetime(date)
        except ValueError:
            return
        if said.tzinfo is not None:
            ahead = said - self._own()
            self._ahead = ahead if abs(ahead) > _CLOCKS_AGREE else timedelta()


@dataclass(frozen=True, kw_only=True)
class Aws:
    """One account and region, with one set of credentials. Make it with `open_aws`.

    Clients are made when first asked for and may be used from several threads. `now` and `sleep` are the
    clock of everything that waits for AWS.
    """

    session: boto3.Session = field(repr=False)
    region: str
    profile: str | None = None
    now: Callable[[], datetime] = _utc_now
    sleep: Callable[[float], None] = time.sleep
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def cloudformation(self) -> CloudFormationClient:
        """Stacks."""
        return cast("CloudFormationClient", self._client("cloudformation"))

    @property
    def ec2(self) -> EC2Client:
        """Instances, their types, networks."""
        return cast("EC2Client", self._client("ec2"))

    @property
    def s3(self) -> S3Client:
        """Buckets; what runs leave is read through `dayfly.runs.store`."""
        return cast("S3Client", self._client("s3"))

    @property
    def ecr(self) -> ECRClient:
        """The image repository."""
        return cast("ECRClient", self._client("ecr"))

    @property
    def iam(self) -> IAMClient:
        """Roles and users."""
        return cast("IAMClient", self._client("iam"))

    @property
    def scheduler(self) -> EventBridgeSchedulerClient:
        """The schedules that end machines."""
        return cast("EventBridgeSchedulerClient", self._client("scheduler"))

    @property
    def ssm(self) -> SSMClient:
        """Public parameters (AMIs) and sessions."""
        return cast("SSMClient", self._client("ssm"))

    @property
    def sts(self) -> STSClient:
        """Who we are."""
        return cast("STSClient", self._client("sts"))

    @property
    def quotas(self) -> ServiceQuotasClient:
        """How many processors the account may run."""
        return cast("ServiceQuotasClient", self._client("service-quotas"))

    @property
    def codecommit(self) -> CodeCommitClient:
        """The mirror of the code."""
        return cast("CodeCommitClient", self._client("codecommit"))

    @property
    def pricing(self) -> PricingClient:
        """The price list, which AWS serves in a few regions, for all of them."""
        return cast("PricingClient", self._client("pricing", "us-east-1"))

    @property
    def batch(self) -> BatchClient:
        """Queues and jobs of sweeps."""
        return cast("BatchClient", self._client("batch"))

    @property
    def batch_once(self) -> BatchClient:
        """For SubmitJob, which makes another job each time: a lost answer must not repeat the call."""
        return cast("BatchClient", self._client("batch", once=True))

    @property
    def cost_explorer(self) -> CostExplorerClient:
        """What AWS has billed."""
        return cast("CostExplorerClient", self._client("ce", "us-east-1"))

    def _client(self, service: str, region: str | None = None, *, once: bool = False) -> Any:
        key = (f"{service}-once" if once else service, region or self.region)
        with self._lock:  # a session must not make two clients at once
            if key not in self._clients:
                self._clients[key] = _make_client(self.session, service, key[1], once=once)
            return self._clients[key]


def _make_client(session: boto3.Session, service: str, region: str, *, once: bool) -> Any:
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1 if once else _ATTEMPTS + 1},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        user_agent_extra="dayfly",
    )
    return session.client(service, region_name=region, config=config)  # type: ignore[call-overload]


def open_aws(
    *,
    profile: str | None = None,
    region: str | None = None,
    now: Callable[[], datetime] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Aws:
    """The AWS that the user means: a profile and region, or what boto3 finds.

    Its clock is AWS's own, unless `now` is another.
    Raises MissingExtraError without boto3, and AwsError when there is no such profile or no region.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise MissingExtraError(
            "AWS needs boto3, which is not installed.",
            hint="Install it, in a clone of dayfly, with: pip install '.[aws]'",
        ) from error
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        if session.region_name is None:
            from botocore.exceptions import NoRegionError

            raise NoRegionError
    except BotoCoreError as error:
        raise translate_error(error, service="", operation="") from error
    session.events.register("creating-client-class", _speak_plainly)
    clock = AwsClock()
    session.events.register("after-call", partial(_hear_time, clock))
    return Aws(session=session, region=session.region_name, profile=profile, now=now or clock, sleep=sleep)


def _hear_time(clock: AwsClock, http_response: Any = None, **_: Any) -> None:
    """AWS's clock, from whatever it answers (botocore's hook after each call)."""
    date = getattr(http_response, "headers", {}).get("date")
    if date:
        clock.hear(str(date))


def _speak_plainly(class_attributes: dict[str, Any], base_classes: list[type], **_: Any) -> None:
    """Make clients raise AwsError (botocore's documented hook to extend a client's class)."""
    from botocore.exceptions import BotoCoreError, ClientError

    del class_attributes

    class Plain:
        def _make_api_call(self, operation: str, parameters: dict[str, Any]) -> Any:
            try:
                return super()._make_api_call(operation, parameters)  # type: ignore[misc]
            except (ClientError, BotoCoreError) as error:
                service = self.meta.service_model.service_name  # type: ignore[attr-defined]
                raise translate_error(error, service=service, operation=operation) from error

    base_classes.insert(0, Plain)

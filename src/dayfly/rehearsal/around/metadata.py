"""Which instance may know what: sessions, credentials, and what EC2's metadata service says of each.

After https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html (a token is
of one instance, and of no use to another) and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html (there are new
credentials at least five minutes before the old ones expire). What the paths answer is in `metadata_tree`,
the protocol in `metadata_http`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_KNOWN_WITHIN_S = 4.0


@dataclass(eq=False)
class Served:
    """One instance as the service knows it.

    `describe` says what the API knows of it, in EC2's words, and `credentials` mints some that live so many
    seconds; both may raise OSError, and the instance is then told to ask again.
    """

    describe: Callable[[], dict[str, Any]]
    credentials: Callable[[int], dict[str, str]]
    lifetime_s: int = 3600
    """Of the role's credentials. New ones are given when half of it is over."""
    spot_at: str = ""
    """When AWS will take the instance away (UTC, ISO 8601); empty: not."""
    _given: dict[str, str] = field(default_factory=dict)
    _given_at: float = 0.0
    _tokens: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new_token(self, lifetime_s: int) -> str:
        """A session token, valid for so long, for this instance alone."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[token] = time.monotonic() + lifetime_s
        return token

    def token_left_s(self, token: str | None) -> int:
        """How many seconds a session has left, rounded up; 0 for one that is over or was never begun here."""
        with self._lock:
            ends = self._tokens.get(token or "", 0.0)
        return max(0, -int(-(ends - time.monotonic()) // 1))

    def role_credentials(self) -> dict[str, str]:
        """The role's, the same ones until half of their life is over. Raises OSError."""
        with self._lock:
            if not self._given or time.monotonic() - self._given_at > self.lifetime_s / 2:
                given = self.credentials(self.lifetime_s)
                self._given = {**given, "updated": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
                self._given_at = time.monotonic()
            return self._given

    def renew_credentials(self, lifetime_s: int) -> None:
        """Whoever asks next gets new ones, which live so many seconds. The old ones stay valid."""
        with self._lock:
            self.lifetime_s, self._given = lifetime_s, {}


class Metadata:
    """The instances by the address from which they ask. Without `answers`, the service is down."""

    def __init__(self, *, known_within_s: float = _KNOWN_WITHIN_S) -> None:
        self.instances: dict[str, Served] = {}
        self.answers = True
        self._known_within_s = known_within_s

    def who_asks(self, address: str) -> Served | None:
        """The instance at an address, None for a stranger. One that was just started is known in a moment."""
        give_up = time.monotonic() + self._known_within_s
        while (served := self.instances.get(address)) is None and time.monotonic() < give_up:
            time.sleep(0.05)
        return served if self.answers else None

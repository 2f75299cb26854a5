"""Secrets in what a file holds, by detect-secrets' detectors for things of a form of their own.

Those that go by entropy or by words (`password = ...`) are left out: a notebook's images are base64, which is
all entropy, and its prose is full of such words. So are those that take any word or number of a certain
length for a secret, or the password of a local database in a URL: AWS, GitHub, Slack, Stripe and others
have given their keys a form by which they can be told, and private keys say what they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

VERSION = 1
"""To be raised with every change here: contents that were found clean are then looked at again."""

_ALLOWED = re.compile(
    rb"(?:#|//|/\*|'|--|<!--[# \t]*?)[ \t]* *pragma: ?(?:allow|white)list[ -]secret", re.IGNORECASE
)
_ALLOWED_NEXT = re.compile(
    rb"^[ \t\"]*(?:#|//|/\*|'|--|<!--[# \t]*?)[ \t]* *pragma: ?allowlist[ -]nextline[ -]secret", re.IGNORECASE
)
# A key's letters somewhere in a long stretch of base64 are chance.
_DATA = rb"[A-Za-z0-9+/]{64}"


class Finding(NamedTuple):
    """Something that looks like a secret."""

    line: int
    kind: str
    digest: str
    """SHA-1 of the secret, as a baseline of detect-secrets has it."""


Filter = Callable[[bytes, bytes], bool]


def _having(*needles: bytes, any_case: bool = False) -> Filter:
    """Whether one of the needles is there. Some letters outside ASCII are other cases of its k and s."""
    if any_case:
        needles = (*needles, "\u017f".encode(), "\u212a".encode())

    def has(data: bytes, lowered: bytes) -> bool:
        text = lowered if any_case else data
        for needle in needles:  # noqa: SIM110 -- twice as fast as any()
            if needle in text:
                return True
        return False

    return has


def _matching(pattern: bytes) -> Filter:
    compiled = re.compile(pattern)
    return lambda data, _: compiled.search(data) is not None


def _either(*filters: Filter) -> Filter:
    return lambda data, lowered: any(one(data, lowered) for one in filters)


FILTERS: dict[str, Filter] = {
    "aws.AWSKeyDetector": _either(
        _having(b"A3T", b"ABIA", b"ACCA", b"AKIA", b"ASIA"), _having(b"aws", any_case=True)
    ),
    "azure_storage_key.AzureStorageKeyDetector": _having(b"AccountKey="),
    "discord.DiscordBotTokenDetector": _matching(rb"\.[\w\x80-\xff-]{6,24}\.[\w\x80-\xff-]{27}"),
    "github_token.GitHubTokenDetector": _having(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
    "gitlab_token.GitLabTokenDetector": _having(
        *(b"glpat-", b"gldt-", b"glft-", b"glsoat-", b"glrt-", b"GR1348941"),
        *(b"glcbt-", b"glimt-", b"glptt-", b"glagent-", b"gloas-"),
    ),
    "jwt.JwtTokenDetector": _having(b"eyJ"),
    "mailchimp.MailchimpDetector": _having(b"-us"),
    "npm.NpmDetector": _having(b"/:_authToken="),
    "openai.OpenAIDetector": _having(b"T3BlbkFJ"),
    "private_key.PrivateKeyDetector": _having(
        b" PRIVATE KEY", b"PuTTY-User-Key-File-2"
    ),  # pragma: allowlist secret
    "pypi_token.PypiTokenDetector": _having(b"pypi-AgE"),
    "sendgrid.SendGridDetector": _having(b"SG."),
    "slack.SlackDetector": _having(b"xox", b"hooks.slack.com", any_case=True),
    "square_oauth.SquareOAuthDetector": _having(b"sq0csp-"),
    "stripe.StripeDetector": _having(b"k_live_"),
    "telegram_token.TelegramBotTokenDetector": _matching(rb":[0-9A-Za-z_-]{35}"),
    "twilio.TwilioKeyDetector": _matching(rb"(?:AC|SK)[a-z0-9]{32}"),
}
"""The detectors, and for each what must be true of a file before it is worth its time."""


def rules_version() -> str:
    """Names the rules: two versions may judge a file differently."""
    from importlib.metadata import version

    rules = f"{VERSION} {version('detect-secrets')} {sorted(FILTERS)}"
    return hashlib.sha256(rules.encode()).hexdigest()[:16]


def find_secrets(content: bytes, *, filtered: bool = True) -> Iterator[Finding]:
    """What looks like a secret and is not allowed on its line, line by line.

    `filtered=False` asks every detector about every line, which takes longer and finds the same.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = content.decode("utf-16", "replace").encode()
    names = list(FILTERS)
    if filtered:
        lowered = content.lower()
        names = [name for name in names if FILTERS[name](content, lowered)]
    if names:
        yield from _look_at_lines(content, names, filtered=filtered)


def _look_at_lines(content: bytes, names: list[str], *, filtered: bool) -> Iterator[Finding]:
    detectors = [(FILTERS[name], _detector(name)) for name in names]
    before = b""
    for number, line in enumerate(content.split(b"\n"), 1):
        lowered = line.lower()
        for worth, detector in detectors:
            if filtered and not worth(line, lowered):
                continue
            for secret in detector.analyze_string(line.decode("utf-8", "replace")):
                raw = secret.encode()
                if not (_ALLOWED.search(line) or _ALLOWED_NEXT.search(before) or _is_data(raw, line)):
                    yield Finding(number, detector.secret_type, _digest(raw))
        before = line


def _is_data(secret: bytes, line: bytes) -> bool:
    inside = re.findall(rb"(?<=" + _DATA + rb")" + re.escape(secret) + rb"(?=" + _DATA + rb")", line)
    return bool(inside) and len(inside) == line.count(secret)


def _digest(secret: bytes) -> str:
    return hashlib.sha1(secret, usedforsecurity=False).hexdigest()


@cache
def _detector(name: str) -> RegexBasedDetector:
    import importlib

    module, _, kind = name.partition(".")
    made: RegexBasedDetector = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), kind)()
    return made

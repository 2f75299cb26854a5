from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.snapshot.detect import FILTERS, find_secrets

JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SECRETS = {
    "aws.AWSKeyDetector": "AKIA" + "IOSFODNN7EXAMPLE",
    "azure_storage_key.AzureStorageKeyDetector": "AccountKey=" + "a" * 88,
    "discord.DiscordBotTokenDetector": "M" + "a" * 23 + "." + "b" * 6 + "." + "c" * 27,
    "github_token.GitHubTokenDetector": "ghs_" + "a1B2" * 9,
    "gitlab_token.GitLabTokenDetector": "glpat-" + "a1B2" * 5,
    "jwt.JwtTokenDetector": JWT,
    "mailchimp.MailchimpDetector": "0123456789abcdef" * 2 + "-us12",
    "npm.NpmDetector": "//host/:_authToken=npm_" + "a" * 20,
    "openai.OpenAIDetector": "sk-" + "a" * 20 + "T3BlbkFJ" + "b" * 20,
    "private_key.PrivateKeyDetector": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "pypi_token.PypiTokenDetector": "pypi-AgEIcHlwaS5vcmc" + "a" * 70,
    "sendgrid.SendGridDetector": "SG." + "a" * 22 + "." + "b" * 43,
    "slack.SlackDetector": "XOXB-" + "123-abcdef",
    "square_oauth.SquareOAuthDetector": "sq0csp-" + "a" * 43,
    "stripe.StripeDetector": "rk_live_" + "a1B2" * 6,
    "telegram_token.TelegramBotTokenDetector": "110201543:" + "A" * 35,
    "twilio.TwilioKeyDetector": "SK" + "0123456789abcdef" * 2,
}


@pytest.mark.parametrize("name", FILTERS)
def test_every_detector_finds_what_it_is_for(name: str) -> None:
    found = list(find_secrets(f"one\n x = '{SECRETS[name]}'\n".encode()))
    assert {finding.line for finding in found} == {2}


FRAGMENTS = [
    *SECRETS.values(),
    *(secret[: len(secret) // 2] for secret in SECRETS.values()),
    *(secret[len(secret) // 2 :] for secret in SECRETS.values()),
    *(secret.swapcase() for secret in SECRETS.values()),
    *(
        "aws_key = '" + "a" * 40 + "'",
        'AWS-SECRET-TOKEN: "' + "B" * 40 + '"',
        "aw\u017f key '" + "a" * 40 + "'",
    ),
    *("\n", " ", "'", '"', "=", ":", "# pragma: allowlist secret", "\r\n", "\0", "\u212a", "\u0661"),
    "https://hooks.\u017flack.com/services/TA/BA/c",
    "AKI" + "A" * 64,
]


@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=12))
def test_filtering_first_finds_the_same(parts: list[str]) -> None:
    content = "".join(parts).encode("utf-8", "replace")
    assert list(find_secrets(content)) == list(find_secrets(content, filtered=False))


@given(st.binary(max_size=200), st.sampled_from(sorted(SECRETS.values())), st.binary(max_size=200))
def test_any_bytes_can_be_looked_at(before: bytes, secret: str, after: bytes) -> None:
    content = before + secret.encode() + after
    assert list(find_secrets(content)) == list(find_secrets(content, filtered=False))


def test_text_in_utf_16_is_read() -> None:
    name = SECRETS["aws.AWSKeyDetector"]
    assert [finding.line for finding in find_secrets(f"\nx = '{name}'".encode("utf-16"))] == [2]


def test_an_image_of_a_notebook_is_no_secret_even_when_chance_writes_one() -> None:
    image = base64.b64encode(random.Random(1).randbytes(3000)).decode()
    inside = image[:1000] + "AKIA" + "IOSFODNN7EXAMPLE" + image[1000:]
    assert list(find_secrets(f'"image/png": "{inside}"'.encode())) == []
    assert list(find_secrets(f'"image/png": "{image}", "AKIA{"IOSFODNN7EXAMPLE"}"'.encode())) != []


@pytest.mark.parametrize("text", ["password = 'hunter2hunter2'", "postgres://me:me@localhost/db", "10.1.2.3"])
def test_words_and_local_addresses_are_none(text: str) -> None:
    assert list(find_secrets(text.encode())) == []

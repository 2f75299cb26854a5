"""Whose address may reach a machine's port 22."""

from __future__ import annotations

import ipaddress
import urllib.request

from dayfly.errors import DayflyError, UsageError

AUTOMATIC = "auto"
_ECHO = "https://checkip.amazonaws.com"
_WITHIN_S = 10


def ssh_cidr(text: str) -> str:
    """The one address that `--ssh` opens port 22 to, as CloudFormation takes it: `203.0.113.7/32`.

    `auto` is this computer's own. Raises UsageError for what is no IPv4 address.
    """
    address = own_address() if text == AUTOMATIC else text.removesuffix("/32")
    try:
        return f"{ipaddress.IPv4Address(address)}/32"
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no IPv4 address.",
            why="Port 22 is opened to one address, for one machine.",
            hint="Write --ssh auto, or --ssh 203.0.113.7",
        ) from error


def own_address() -> str:
    """The address from which this computer reaches the internet, as AWS sees it. Raises DayflyError."""
    try:
        with urllib.request.urlopen(_ECHO, timeout=_WITHIN_S) as answer:
            return str(answer.read(64).decode("ascii", "replace")).strip()
    except OSError as error:
        raise DayflyError(
            "This computer's own address could not be found out.",
            why=f"{_ECHO}: {error}",
            hint="Give it: --ssh 203.0.113.7",
        ) from error

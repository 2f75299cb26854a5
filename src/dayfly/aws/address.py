"""Whose address may reach a machine's port 22."""

from __future__ import annotations

import ipaddress
import urllib.request

from dayfly.errors import DayflyError, UsageError

AUTOMATIC = "auto"
_ECHO = "https://checkip.amazonaws.com"
_WITHIN_S = 10


def ssh_cidr(text: str) -> str:
    """The address range that `--ssh` means: one address, a range, or `auto` for this computer's own.

    Raises UsageError for what is no IPv4 address, or would let everybody in.
    """
    address = own_address() if text == AUTOMATIC else text
    try:
        network = ipaddress.IPv4Network(address, strict=False)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no IPv4 address.", why=str(error), hint="Write --ssh auto, or --ssh 203.0.113.7"
        ) from error
    if network.prefixlen < _WIDEST:
        raise UsageError(
            f"{network} are {network.num_addresses:,} addresses.",
            why="Port 22 is opened to those who are known, not to the world.",
            hint="Give one address, or a range of at most 65,536: --ssh 203.0.113.0/24",
        )
    return str(network)


_WIDEST = 16


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

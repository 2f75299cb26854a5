"""Dollars as people read them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_CENT = Decimal("0.01")
_FINE = Decimal("0.0001")


def dollars(amount: Decimal) -> str:
    """`$12.35`; `$0.0042` where cents would hide it."""
    small = 0 < abs(amount) < 1
    shown = amount.quantize(_FINE if small else _CENT, ROUND_HALF_UP)
    if small and shown == 0:
        return "under $0.0001"
    sign = "-" if shown < 0 else ""
    text = f"{abs(shown):,f}"
    if small and "." in text:  # two digits at least: $0.50, $0.4032
        whole, fraction = text.split(".")
        text = f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
    return f"{sign}${text}"


def dollars_per_hour(amount: Decimal) -> str:
    """`$0.4032/h`: with the four digits in which AWS quotes, since hours add up."""
    return f"${amount.quantize(_FINE, ROUND_HALF_UP):,f}/h"

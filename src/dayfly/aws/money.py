"""Dollars as people read them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_CENT = Decimal("0.01")
_FINE = Decimal("0.0001")


def dollars(amount: Decimal) -> str:
    """`$12.35`; below a dollar with the digits that cents would hide: `$0.0042`, but `$0.50`."""
    size = abs(amount)
    if 0 < size < 1:
        size = size.quantize(_FINE, ROUND_HALF_UP)
        if size == 0:
            return "under $0.0001"
    if size >= 1 or size == size.quantize(_CENT):
        size = size.quantize(_CENT, ROUND_HALF_UP)
    return f"{'-' if amount < 0 and size else ''}${size:,f}"


def dollars_per_hour(amount: Decimal) -> str:
    """`$0.4032/h`: with the four digits in which AWS quotes, since hours add up."""
    return f"${amount.quantize(_FINE, ROUND_HALF_UP):,f}/h"

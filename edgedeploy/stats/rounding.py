"""Comparisons that forgive what binary floating point rounds: 0.97 - 0.96 is more than 0.01 there."""

from __future__ import annotations

ROUNDING = 1e-9
"""Absolute. Metrics are means of a few thousand numbers; a difference of two of them is not known better than this."""


def at_most(value: float, limit: float) -> bool:
    """Return whether `value` is no larger than `limit`, rounding aside. NaN never is."""
    return value <= limit + ROUNDING


def at_least(value: float, limit: float) -> bool:
    """Return whether `value` is no smaller than `limit`, rounding aside. NaN never is."""
    return value >= limit - ROUNDING

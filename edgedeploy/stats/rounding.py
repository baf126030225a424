"""Comparisons that forgive what binary floating point rounds, and figures written so that they show them.

0.97 - 0.96 is more than 0.01 in binary floating point.
"""

from __future__ import annotations

import math

ROUNDING = 1e-9
"""Absolute. Metrics are means of a few thousand numbers; a difference of two of them is not known better than this."""


def at_most(value: float, limit: float) -> bool:
    """Return whether `value` is no larger than `limit`, rounding aside. NaN never is."""
    return value <= limit + ROUNDING


def at_least(value: float, limit: float) -> bool:
    """Return whether `value` is no smaller than `limit`, rounding aside. NaN never is."""
    return value >= limit - ROUNDING


_MOST_DECIMALS = 9
_UNITS_OF_SHARES = ("%", " points")


def beside_limit(figure: float, limit: float, *, decimals: int, unit: str = "") -> tuple[str, str]:
    """Write a figure and the limit that it is held against, with the digits that decide.

    A figure that is over the limit reads so, by however little: 1.04 % against 1.0 %, not 1.0 % against 1.0 %.

    Args:
        decimals: the least after the point; the figure gets more where it reads as the limit and is another number.
        unit: written behind both; with `"%"` and `" points"` both are shares and written in hundredths.

    Returns:
        The figure and the limit, which has all its digits.
    """
    is_share = unit in _UNITS_OF_SHARES
    scale = 100.0 if is_share else 1.0
    written_limit = _shortest(limit * scale, decimals if is_share else 0)
    wanted = _side(figure, limit)
    for digits in range(decimals, _MOST_DECIMALS + 1):
        written = f"{figure * scale:.{digits}f}"
        if not math.isfinite(figure) or _side(float(written) / scale, float(written_limit) / scale) == wanted:
            break
    return f"{written}{unit}", f"{written_limit}{unit}"


def _side(figure: float, limit: float) -> int:
    if at_most(figure, limit):
        return 0 if at_least(figure, limit) else -1
    return 1


def _shortest(number: float, decimals: int) -> str:
    """Write a number with the fewest decimals that keep it, but with `decimals` at least."""
    for digits in range(decimals, _MOST_DECIMALS + 1):
        written = f"{number:.{digits}f}"
        if not math.isfinite(number) or abs(float(written) - number) <= ROUNDING:
            break
    return written

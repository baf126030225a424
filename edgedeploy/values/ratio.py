"""The ratio of two costs, with its confidence interval."""

from __future__ import annotations

from msgspec import Struct


class RatioFigure(Struct, frozen=True, kw_only=True):
    """The median of paired ratios and the bounds of its confidence interval, which are ratios that were observed."""

    value: float
    low: float
    high: float
    pairs: int

"""How sure the ratio of two costs is when they were measured in turn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from edgedeploy.values.ratio import RatioFigure

CONFIDENCE = 0.95
LEAST_PAIRS = 6
"""Of fewer, even the smallest and the largest do not enclose the median with that confidence: 1 - 2 · 2^-5 < 0.95."""


def median_ratio(before: Sequence[float], after: Sequence[float]) -> RatioFigure:
    """Return the median of `after[i] / before[i]`, with a confidence interval from order statistics.

    The two costs of a pair were measured one right after the other, so that what slows the machine down for longer than
    a pair takes slows both and leaves their ratio. The interval assumes nothing of the ratios' distribution: k of n
    independent ratios are below their true median with a probability that is binomial with p = 1/2, so the l-th
    smallest and the l-th largest enclose it with probability 1 - 2 · P(k < l) (W. J. Conover, Practical Nonparametric
    Statistics, 3rd edition 1999, section 3.2; H. A. David, H. N. Nagaraja, Order Statistics, 3rd edition 2003, section
    7.1). Outliers move neither.

    Args:
        before, after: costs in the same unit, above 0; at least `LEAST_PAIRS` of each.

    Raises:
        ValueError: their numbers differ or are too small, or a cost is not above 0.
    """
    if len(before) != len(after) or len(before) < LEAST_PAIRS:
        raise ValueError(f"{len(before)} and {len(after)} costs are not {LEAST_PAIRS} pairs or more")
    if not min(*before, *after) > 0:
        raise ValueError("a cost is not above 0")
    ratios = sorted(b / a for a, b in zip(before, after, strict=True))
    rank = interval_rank(len(ratios))
    return RatioFigure(value=statistics.median(ratios), low=ratios[rank - 1], high=ratios[-rank], pairs=len(ratios))


def interval_rank(n: int) -> int:
    """Return the largest l for which the l-th smallest and the l-th largest of n samples enclose the median.

    They do with `CONFIDENCE`; 0 when not even the smallest and the largest do.
    """
    rank, outside = 0, math.comb(n, 0) / 2**n
    while 2 * outside <= 1 - CONFIDENCE:
        rank += 1
        outside += math.comb(n, rank) / 2**n
    return rank

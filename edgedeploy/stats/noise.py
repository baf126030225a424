"""How far figures of the same release differ from one run to the next: small pure functions, each with its source."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence

from edgedeploy.stats.paired_ratio import interval_rank

CONFIDENCE = 0.99
"""Two-sided, of `prediction_noise`: one clean comparison of a hundred lies outside, half of them on the side that is
worse; a threshold that is larger than the noise makes it fewer."""


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Return bounds that enclose the true median of independent samples with 95 % confidence.

    Whatever their distribution is: W. J. Conover, Practical Nonparametric Statistics, 3rd edition 1999, section 3.2.
    Under 6 samples there are no such bounds, and both are the median.

    Args:
        samples: at least one, in any order.
    """
    ordered, rank = sorted(samples), interval_rank(len(samples))
    if not rank:
        middle = statistics.median(ordered)
        return middle, middle
    return ordered[rank - 1], ordered[-rank]


def prediction_noise(before: Sequence[float], runs: int) -> float | None:
    """Return how far the mean of `runs` further runs may lie from the mean of `before` when nothing changed.

    The two-sided prediction interval for the mean of m future observations from a normal distribution, after k,

        x̄ ± t(k - 1, 1 - α/2) · s · √(1/k + 1/m),

    (W. Q. Meeker, G. J. Hahn, L. A. Escobar, Statistical Intervals, 2nd edition 2017, section 4.8), taken of the runs'
    logarithms, since what slows a run down multiplies its time.

    Args:
        before: one figure for each run, above 0.
        runs: how many are to come, at least one.

    Returns:
        The upper bound, relative to the mean: 0.03 is 3 %. None of fewer than three runs: they do not show it.
    """
    if len(before) < 3:
        return None
    logarithms = [math.log(figure) for figure in before]
    spread = statistics.stdev(logarithms) * math.sqrt(1 / len(logarithms) + 1 / runs)
    exponent = student_quantile(1 - (1 - CONFIDENCE) / 2, len(logarithms) - 1) * spread
    return math.expm1(min(exponent, 700.0))  # e^710 is more than a float holds


@functools.cache
def student_quantile(share: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution, by bisection of its distribution function.

    Args:
        share: in [0.5, 1).
        freedom: degrees of freedom, at least 1.
    """
    low, high = 0.0, 1.0
    while _student_share(high, freedom) < share:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_share(middle, freedom) < share else (low, middle)
    return high


def _student_share(t: float, freedom: int) -> float:
    """Return P(T ≤ t) for t ≥ 0: M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, squared = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2
    term = total = (1.0 if freedom > 1 else 0.0) if odd else 1.0
    for k in range(3 if odd else 2, freedom, 2):
        term *= squared * (k - 1) / k
        total += term
    within = 2 / math.pi * (angle + sine * math.cos(angle) * total) if odd else sine * total
    return 0.5 + within / 2

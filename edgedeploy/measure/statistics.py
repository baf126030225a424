"""Order statistics of timing samples, as small pure functions, each with its source."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence

from edgedeploy.values.measurement import Summary

_CONFIDENCE = 0.99
"""Of the early-stopping bound, as MLPerf has it."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest sample that at least `share` of all samples do not exceed.

    It is always a value that was observed (R. J. Hyndman, Y. Fan, Sample Quantiles in Statistical Packages, The
    American Statistician 50 (1996), definition 1).

    Args:
        ordered: samples in ascending order, at least one.
        share: in (0, 1].
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_absolute_deviation(samples: Sequence[float]) -> float:
    """Median of the distances from the median, not scaled (F. R. Hampel, JASA 69 (1974), 383-393)."""
    middle = statistics.median(samples)
    return statistics.median(abs(sample - middle) for sample in samples)


@functools.cache
def samples_needed(share: float) -> int:
    """How many samples a percentile needs before it is worth printing.

    MLPerf's early stopping (https://github.com/mlcommons/inference_policies, «Appendix: Early stopping criterion»;
    V. J. Reddi et al., MLPerf Inference Benchmark, ISCA 2020) estimates a percentile by an order statistic with at
    least one sample above it, and asks that the estimate be below the true percentile with a probability of at most
    1 %. With n samples, each above the true percentile with probability 1 - share, that is one at most being so:

        share^n + n · (1 - share) · share^(n-1) ≤ 1 - 0.99.

    That is 64, 130 and 662 for the 90th, 95th and 99th percentile.
    """
    n = 1
    while share**n + n * (1 - share) * share ** (n - 1) > 1 - _CONFIDENCE:
        n += 1
    return n


def summary(samples_ms: Sequence[float]) -> Summary:
    """Order statistics of steady-state samples, in milliseconds.

    Args:
        samples_ms: in the order they were taken; at least one.

    Raises:
        ValueError: there are none.
    """
    if not samples_ms:
        raise ValueError("a summary needs at least one sample")
    ordered = sorted(samples_ms)
    notes: list[str] = []

    def supported(share: float) -> float | None:
        needed = samples_needed(share)
        if len(ordered) >= needed:
            return percentile(ordered, share)
        notes.append(f"p{share * 100:.0f} needs {needed} samples, there are {len(ordered)}")
        return None

    return Summary(
        n=len(ordered),
        min_ms=ordered[0],
        p50_ms=statistics.median(ordered),
        mean_ms=statistics.fmean(ordered),
        p90_ms=supported(0.90),
        p95_ms=supported(0.95),
        p99_ms=supported(0.99),
        mad_ms=median_absolute_deviation(ordered),
        notes=tuple(notes),
    )

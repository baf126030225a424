"""Order statistics of timing samples, as small pure functions, each with its source."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence

from edgedeploy.values.measurement import Summary

_CONFIDENCE = 0.99


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
    """How many samples a percentile needs before it is worth printing: MLPerf's bound for early stopping.

    With n samples, each above the true percentile with probability 1 - share, at most t of them are with probability

        Σ_{i=0..t} C(n, i) · (1 - share)^i · share^(n-i).

    MLPerf takes a percentile from n samples when that is below 1 - 0.99 for t = 1: it is then all but certain that the
    tail was seen. That is 64, 130 and 662 samples for the 90th, 95th and 99th percentile.

    https://github.com/mlcommons/inference, loadgen/early_stopping.cc (`odds`) and loadgen/results.cc
    (`PerformanceSummary::EarlyStopping`: t = 1, confidence 0.99, tolerance 0); rules:
    https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc, «Early stopping criterion».

    Args:
        share: in (0, 1).
    """
    n = 1
    while share**n + n * (1 - share) * share ** (n - 1) >= 1 - _CONFIDENCE:
        n += 1
    return n


def summary(samples_ms: Sequence[float], notes: Sequence[str] = ()) -> Summary:
    """Order statistics of steady-state samples, in milliseconds. p50 is the median (the mean of the middle two where
    their number is even), the others are nearest-rank percentiles, absent where there are too few samples.

    Args:
        samples_ms: in the order they were taken; at least one.
        notes: what else is to be known of them.

    Raises:
        ValueError: there are none.
    """
    if not samples_ms:
        raise ValueError("a summary needs at least one sample")
    ordered = sorted(samples_ms)
    absent: list[str] = []

    def supported(share: float) -> float | None:
        needed = samples_needed(share)
        if len(ordered) >= needed:
            return percentile(ordered, share)
        absent.append(f"p{share * 100:.0f} needs {needed} samples; there are {len(ordered)}")
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
        notes=(*notes, *absent),
    )

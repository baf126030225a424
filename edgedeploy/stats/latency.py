"""Order statistics of timing samples, as small pure functions, each with its source.

None of them assumes a distribution: latencies have a floor and a long tail, and are not normal. Those that give
confidence assume samples that are independent of each other; `drift` and `modes` show where they are not.
"""

from __future__ import annotations

import bisect
import functools
import math
import statistics
from collections.abc import Callable, Sequence

import numpy as np

from edgedeploy.values.measurement import Drift, Modes, Outliers, Percentile, Summary

_CONFIDENCE = 0.99
"""Of MLPerf's early stopping."""
_INTERVAL_CONFIDENCE = 0.95
_REPORTED = (0.50, 0.90, 0.95, 0.99)
_LEAST_FOR_DRIFT = 18
"""Six in each third: of fewer, no interval encloses a median with 95 % confidence."""
_LEAST_MODE_SHARE = 0.1
_TRIMMED_SHARE = 0.025
_ASHMAN_D = 2.0
_VALLEY_SIGNIFICANCE = 0.001
_D_LIMIT = 1000.0


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the smallest sample that at least `share` of all samples do not exceed.

    It is always a value that was observed (R. J. Hyndman, Y. Fan, Sample Quantiles in Statistical Packages, The
    American Statistician 50 (1996), definition 1).

    Args:
        ordered: samples in ascending order, at least one.
        share: in (0, 1].
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_absolute_deviation(samples: Sequence[float]) -> float:
    """Return the median of the distances from the median, not scaled (F. R. Hampel, JASA 69 (1974), 383-393)."""
    middle = statistics.median(samples)
    return statistics.median(abs(sample - middle) for sample in samples)


@functools.cache
def samples_needed(share: float) -> int:
    """Return how many samples a percentile needs before it is worth printing: MLPerf's bound for early stopping.

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


def binomial_cdf(k: int, n: int, share: float) -> float:
    """Return P(B ≤ k), B binomial: how many of n independent trials succeed, each with probability `share`.

    The sum of its terms from k outwards, each from the one before by the ratio of neighbours, i (1 - p) / ((n - i + 1)
    p), until they no longer count (N. L. Johnson, A. W. Kemp, S. Kotz, Univariate Discrete Distributions, 3rd edition
    2005, chapter 3). Good to 1e-6 at n = 10^6, which is what the logarithm of n! leaves.

    Args:
        share: in (0, 1).
    """
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    if k > n * share:  # the other tail is the shorter sum
        return 1.0 - binomial_cdf(n - k - 1, n, 1 - share)
    logarithm = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = total = math.exp(logarithm + k * math.log(share) + (n - k) * math.log1p(-share))
    for i in range(k, 0, -1):
        term *= i / (n - i + 1) * (1 - share) / share
        total += term
        if term <= total * 1e-17:
            break
    return total


@functools.lru_cache(maxsize=256)
def interval_ranks(n: int, share: float, confidence: float = _INTERVAL_CONFIDENCE) -> tuple[int, int] | None:
    """Return the ranks of two samples, from 1, that enclose the true percentile with at least that confidence.

    They are l and u: the l-th and the u-th smallest of n independent samples, whatever their distribution.

    The number of samples below the percentile is binomial with probability `share`, so the interval holds it with
    probability P(l ≤ B ≤ u - 1). l is the largest with P(B ≤ l - 1) ≤ α/2, and u the smallest with P(B ≥ u) ≤ α/2: the
    tails are told apart, as those of latencies differ (G. J. Hahn, W. Q. Meeker, Statistical Intervals, 1991, section
    5.2; H. A. David, H. N. Nagaraja, Order Statistics, 3rd edition 2003, section 7.1).

    Args:
        share, confidence: in (0, 1).

    Returns:
        None when n samples do not have such ranks: not even the smallest and the largest are far enough out.
    """
    tail = (1 - confidence) / 2
    low = _first(lambda rank: binomial_cdf(rank, n, share) > tail, n)
    high = 1 + _first(lambda rank: 1 - binomial_cdf(rank, n, share) <= tail, n)
    return (low, high) if low >= 1 and high <= n else None


def _first(holds: Callable[[int], bool], n: int) -> int:
    """Return the smallest of 0 … n for which it holds, if it holds for all above; n when for none below."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def percentile_interval(
    ordered: Sequence[float], share: float, confidence: float = _INTERVAL_CONFIDENCE
) -> tuple[float, float] | None:
    """Return two samples that enclose the true percentile; None when there are too few: see `interval_ranks`.

    Args:
        ordered: samples in ascending order.
    """
    ranks = interval_ranks(len(ordered), share, confidence)
    return None if ranks is None else (ordered[ranks[0] - 1], ordered[ranks[1] - 1])


def early_stopping_estimate(ordered: Sequence[float], share: float) -> float | None:
    """Return MLPerf's estimate of a percentile: one that the true percentile does not exceed with 99 % confidence.

    Of n samples, t is the largest number with P(B ≤ t) < 1 - 0.99, B binomial with probability 1 - share; the estimate
    is the t-th largest sample.

    https://github.com/mlcommons/inference, loadgen/results.cc (`PerformanceSummary::EarlyStopping`, single stream) and
    loadgen/early_stopping.cc.

    Args:
        ordered: samples in ascending order.
        share: in (0, 1).

    Returns:
        None of fewer than `samples_needed(share)`: t has to be 1 at least.
    """
    n = len(ordered)
    discarded = _first(lambda t: binomial_cdf(t, n, 1 - share) >= 1 - _CONFIDENCE, n) - 1
    return ordered[n - discarded] if discarded >= 1 else None


def reported_percentile(ordered: Sequence[float], share: float) -> Percentile:
    """Return a percentile with all that is known of it.

    The 50th is the median, and there always; the others need `samples_needed`, and are nearest-rank.

    Args:
        ordered: samples in ascending order, at least one.
    """
    n, needed = len(ordered), 1 if share == 0.5 else samples_needed(share)
    if n < needed:
        reason = f"p{share * 100:.0f} needs {needed} samples; there are {n}"
        return Percentile(share=share, value_ms=None, reason=reason)
    interval = percentile_interval(ordered, share)
    return Percentile(
        share=share,
        value_ms=statistics.median(ordered) if share == 0.5 else percentile(ordered, share),
        low_ms=interval[0] if interval else None,
        high_ms=interval[1] if interval else None,
        early_stopping_ms=early_stopping_estimate(ordered, share),
        reason="" if interval else f"p{share * 100:.0f} has no 95 % confidence interval with n = {n}",
    )


def coefficient_of_variation(samples: Sequence[float]) -> float | None:
    """Return the standard deviation of the sample, with n - 1, over the mean.

    K. Pearson, Philosophical Transactions of the Royal Society A 187 (1896), 253-318.

    Returns:
        None of one sample, or when the mean is not above 0.
    """
    if len(samples) < 2 or (mean := statistics.fmean(samples)) <= 0:
        return None
    return float(np.std(samples, ddof=1)) / mean


def drift(samples: Sequence[float]) -> Drift | None:
    """Return how much slower the end is than the beginning: the medians of the first and the last third.

    The outer thirds' medians are those of Tukey's resistant line (P. F. Velleman, D. C. Hoaglin, Applications, Basics,
    and Computing of Exploratory Data Analysis, 1981, chapter 5); that parts of a run are compared to see whether it was
    stationary is Geweke's idea (J. Geweke, in Bayesian Statistics 4, 1992, 169-193).

    Args:
        samples: in the order they were taken, above 0.

    Returns:
        None of fewer than 18, or when the first third's median is 0.
    """
    if len(samples) < _LEAST_FOR_DRIFT:
        return None
    third = len(samples) // 3
    first, last = sorted(samples[:third]), sorted(samples[-third:])
    first_ms, last_ms = statistics.median(first), statistics.median(last)
    before, after = percentile_interval(first, 0.5), percentile_interval(last, 0.5)
    if first_ms <= 0 or before is None or after is None:
        return None
    apart = before[1] < after[0] or after[1] < before[0]
    return Drift(first_ms=first_ms, last_ms=last_ms, relative=last_ms / first_ms - 1, beyond_noise=apart)


def modes(samples: Sequence[float]) -> Modes | None:
    """Return whether samples gather around two values, with few between.

    The samples, without the 2.5 % at either end, are cut in two where the clusters' sums of squares are least (W. D.
    Fisher, JASA 53 (1958), 789-798), with a tenth of all in each at least. They are two modes if

    - Ashman's D = √2 |μ₁ - μ₂| / √(σ₁² + σ₂²) is above 2 (K. M. Ashman, C. M. Bird, S. E. Zepf, The Astronomical
      Journal 108 (1994), 2348-2361). Halves of one mode reach that too: a normal distribution 2.6, an even one 3.5; so
    - there is a valley: the middle third of the way between the clusters' medians holds at most half the samples of an
      interval as wide around the lesser of the medians. Within one mode it would be the denser of the two, and of the
      samples in both, each would be in it with probability 1/2 at least; so few have to have odds below 0.001.

    Args:
        samples: in any order.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    n = len(ordered)
    trimmed = ordered[int(_TRIMMED_SHARE * n) : n - int(_TRIMMED_SHARE * n)]
    kept, least = len(trimmed), max(2, math.ceil(_LEAST_MODE_SHARE * n))
    sizes = np.arange(least, kept - least + 1)
    if not sizes.size:
        return None
    # Centred, so that squares of large and nearly equal numbers keep their digits. What lies within the clusters is
    # least where what lies between them is most.
    sums = np.cumsum(trimmed - trimmed.mean())[sizes - 1]
    cut = int(sizes[np.argmax(sums**2 * (1 / sizes + 1 / (kept - sizes)))])
    low, high = trimmed[:cut], trimmed[cut:]
    distance, width = float(high.mean() - low.mean()), float(np.hypot(low.std(ddof=1), high.std(ddof=1)))
    d = min(_D_LIMIT, math.sqrt(2) * distance / width) if width else _D_LIMIT
    low_ms, high_ms = float(np.median(low)), float(np.median(high))
    step = (high_ms - low_ms) / 3
    if d <= _ASHMAN_D or step <= 0:
        return None
    between = _within(ordered, low_ms + step, high_ms - step)
    peak = min(_within(ordered, middle - step / 2, middle + step / 2) for middle in (low_ms, high_ms))
    if 2 * between > peak or binomial_cdf(between, between + peak, 0.5) >= _VALLEY_SIGNIFICANCE:
        return None
    above = n - int(np.searchsorted(ordered, (low_ms + high_ms) / 2))
    return Modes(low_ms=low_ms, high_ms=high_ms, high_share=above / n, ashman_d=d)


def _within(ordered: np.ndarray, low: float, high: float) -> int:
    return int(np.searchsorted(ordered, high, side="right") - np.searchsorted(ordered, low, side="left"))


def outliers(ordered: Sequence[float]) -> Outliers:
    """Count samples beyond the outer fences, three interquartile ranges outside the quartiles.

    J. W. Tukey, Exploratory Data Analysis, 1977, section 2D, «far out». The quartiles are nearest-rank.

    Args:
        ordered: samples in ascending order, at least one.
    """
    lower, upper = percentile(ordered, 0.25), percentile(ordered, 0.75)
    low_fence, high_fence = lower - 3 * (upper - lower), upper + 3 * (upper - lower)
    return Outliers(
        below=bisect.bisect_left(ordered, low_fence),
        above=len(ordered) - bisect.bisect_right(ordered, high_fence),
        low_fence_ms=low_fence,
        high_fence_ms=high_fence,
        largest_ms=ordered[-1],
    )


def summary(samples_ms: Sequence[float], notes: Sequence[str] = ()) -> Summary:
    """Return the order statistics of steady-state samples, in milliseconds.

    p50 is the median (the mean of the middle two where their number is even), the others are nearest-rank percentiles,
    absent where there are too few samples.

    Args:
        samples_ms: in the order they were taken; at least one.
        notes: what else is to be known of them.

    Raises:
        ValueError: there are none.
    """
    if not samples_ms:
        raise ValueError("a summary needs at least one sample")
    ordered = sorted(samples_ms)
    percentiles = tuple(reported_percentile(ordered, share) for share in _REPORTED)
    p90, p95, p99 = percentiles[1:]
    return Summary(
        n=len(ordered),
        min_ms=ordered[0],
        p50_ms=statistics.median(ordered),
        mean_ms=statistics.fmean(ordered),
        p90_ms=p90.value_ms,
        p95_ms=p95.value_ms,
        p99_ms=p99.value_ms,
        mad_ms=median_absolute_deviation(ordered),
        notes=(*notes, *(found.reason for found in (p90, p95, p99) if found.value_ms is None)),
        percentiles=percentiles,
        cv=coefficient_of_variation(ordered),
        modes=modes(ordered),
        outliers=outliers(ordered),
    )

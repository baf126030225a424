"""How sure the difference of two metrics is when both are over the same samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgedeploy.values.quality import MetricChange

CONFIDENCE = 0.95
RESAMPLES = 2000
_LEAST_RESAMPLES = 200
"""Of metrics that take long to compute. The bounds of a 95 % interval are then the fifth on either side; Efron and
Tibshirani, section 13.3, advise 1000 for percentiles and find a tenth of it usable."""
_MOST_NUMBERS = 100_000_000
"""That a metric which is no mean is computed from, over all resamples: 2000 of them with 50,000 numbers each."""
_BLOCK_ELEMENTS = 4_000_000


def paired_change(before: np.ndarray, after: np.ndarray, *, seed: int = 0) -> MetricChange:
    """Return the change of a mean of scores, with a confidence interval from the paired bootstrap.

    Samples are drawn again with replacement, each with both of its scores, so that what is hard for both models does
    not count as a difference (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: percentile
    interval; Koehn, Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004: paired).

    Samples whose score did not change tell how often a change is rare, which no resampling of them can: where none of
    n samples changed, a share of up to 3/n of all samples may, with 95 % confidence (Hanley and Lippman-Hand, If
    Nothing Goes Wrong, Is Everything All Right?, JAMA 1983). So the interval is never narrower than that on either
    side, times the largest difference that two scores had or, where they had none, times their whole range.

    Args:
        before, after: scores of the same samples, float64, shape (samples,), at least one.

    Raises:
        ValueError: the shapes differ, or there is no sample.
    """
    if before.shape != after.shape or before.ndim != 1 or not before.size:
        raise ValueError(f"scores of shapes {before.shape} and {after.shape} cannot be paired")
    differences = after.astype(np.float64) - before.astype(np.float64)
    n = differences.size
    value = float(differences.mean())
    changed = differences != 0
    # As many unchanged samples as it may be are drawn at once: they add nothing to a sum.
    means = _resampled_sums(differences[changed], n, np.random.default_rng(seed)) / n
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(bound) for bound in np.quantile(means, [tail, 1 - tail]))
    step = float(np.abs(differences).max()) or _range(before) or 1.0
    unseen = step * min(1.0, 3.0 / n)
    if not (differences < 0).any():
        low = min(low, value - unseen)
    if not (differences > 0).any():
        high = max(high, value + unseen)
    return MetricChange(
        value=value, low=low, high=high, confidence=CONFIDENCE, samples=n, samples_changed=int(changed.sum())
    )


def resampled_change(
    before: Callable[[np.ndarray], float],
    after: Callable[[np.ndarray], float],
    samples: int,
    *,
    numbers: int | None = None,
    changed: int | None,
    step: float,
    seed: int = 0,
) -> MetricChange:
    """Return the change of a metric that is no mean of scores, with an interval from the paired bootstrap.

    As `paired_change`, but the metric of both models is computed anew for each resample, from how often each sample was
    drawn. Resamples over which it has no value (NaN) are left out.

    Args:
        before, after: return the metric for weights, shape (samples,).
        samples: at least one.
        numbers: that one computation reads, where it is not one for each sample: the more, the fewer resamples.
        changed: how many samples are answered otherwise; None where that is not known.
        step: by how much the answer to one sample may change: that of samples which were not seen.

    Raises:
        ValueError: there is no sample.
    """
    if samples < 1:
        raise ValueError("there is no sample")
    ones = np.ones(samples)
    value = after(ones) - before(ones)
    low = high = value
    if changed != 0:
        rng = np.random.default_rng(seed)
        count = min(RESAMPLES, max(_LEAST_RESAMPLES, _MOST_NUMBERS // max(numbers or samples, 1)))
        differences = np.empty(count)
        for place in range(count):
            weights = np.bincount(rng.integers(0, samples, samples), minlength=samples).astype(np.float64)
            differences[place] = after(weights) - before(weights)
        valid = differences[np.isfinite(differences)]
        if valid.size:
            tail = (1 - CONFIDENCE) / 2
            low, high = (float(bound) for bound in np.quantile(valid, [tail, 1 - tail]))
            low, high = min(low, value), max(high, value)
    unseen = step * min(1.0, 3.0 / samples)
    if low >= 0:
        low = min(low, value - unseen)
    if high <= 0:
        high = max(high, value + unseen)
    count_changed = changed if changed is not None else (samples if value else 0)
    return MetricChange(
        value=value, low=low, high=high, confidence=CONFIDENCE, samples=samples, samples_changed=count_changed
    )


def _range(scores: np.ndarray) -> float:
    return float(scores.max() - scores.min())


def _resampled_sums(changed: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sums over n draws with replacement out of n samples, of which all but `changed` add zero."""
    if not changed.size:
        return np.zeros(RESAMPLES)
    sums = np.empty(RESAMPLES)
    counts = rng.binomial(n, changed.size / n, RESAMPLES)
    rows = max(1, _BLOCK_ELEMENTS // max(int(counts.max()), 1))
    for begin in range(0, RESAMPLES, rows):
        block = counts[begin : begin + rows]
        drawn = changed[rng.integers(0, changed.size, (block.size, max(int(block.max()), 1)))]
        drawn[np.arange(drawn.shape[1]) >= block[:, np.newaxis]] = 0.0
        sums[begin : begin + rows] = drawn.sum(axis=1)
    return sums

"""How sure the difference of two metrics is when both are over the same samples."""

from __future__ import annotations

import numpy as np

from edgedeploy.values.quality import MetricChange

CONFIDENCE = 0.95
RESAMPLES = 2000
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

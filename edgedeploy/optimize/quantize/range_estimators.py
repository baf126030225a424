"""Where to cut off a tensor's rare extremes, so that the values that matter get finer steps.

Each function takes a histogram and returns the range to put the 256 values of an 8-bit grid over. None of them returns
more than was seen.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgedeploy.optimize.quantize.histogram import HALF, Histogram, Range
from edgedeploy.optimize.quantize.quant_params import activation_params

_LEVELS = 256
_ENTROPY_CANDIDATES = 128
_ALMOST_NOTHING = 1e-4
_FEW_BINS = HALF
"""What a histogram is coarsened to before its entropy is taken: finer ones measure noise."""

_FRACTIONS = 2.0 ** (-np.arange(0, 97) / 12)
"""Of the largest value, for a first look: 12 steps to each halving, down to 1/256."""
_PROMISING = 24
_CLOSER: tuple[float, ...] = tuple((2.0 ** (np.arange(-8, 9) / 96)).tolist())
"""Of an end that was found, for a closer look: as far as its neighbours of the first."""


def percentile_range(histogram: Histogram, percentile: float) -> Range:
    """Choose the range from the (100 - `percentile`)-th to the `percentile`-th percentile of all values.

    Taken at the far edges of the bins that they fall in: on each side at most (100 - `percentile`) % are cut off.

    Args:
        percentile: above 50, up to 100, which is the range that was seen.

    Raises:
        ValueError: `percentile` is none.
    """
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile must be above 50 and at most 100, not {percentile:g}")
    total = histogram.total
    may_go = total * (100 - percentile) / 100
    below = np.cumsum(histogram.counts, dtype=np.int64)
    # The first bin that would not go whole, from either end.
    low = int(np.searchsorted(below, may_go, side="right"))
    high = int(np.searchsorted(below, total - may_go, side="left"))
    last = len(histogram.counts) - 1
    return Range(
        min(0.0, histogram.lower_edge(histogram.first + min(low, last))),
        max(0.0, histogram.upper_edge(histogram.first + min(high, last))),
    )


def entropy_range(histogram: Histogram) -> Range:
    """Choose the range whose 256 levels lose least of the distribution: minimal Kullback-Leibler divergence.

    Source: S. Migacz, 8-bit inference with TensorRT (GTC 2017),
    https://on-demand.gputechconf.com/gtc/2017/presentation/s7310-8-bit-inference-with-tensorrt.pdf, slide «Entropy
    calibration, pseudocode»: P is what lies within the range, with all that lies beyond it added to its last bins; Q is
    what lies within it, averaged over each of the levels' bins that P has anything in. There the values are magnitudes;
    here the range is [-t, t], without what lies beyond the smallest and the largest value, and the levels cover that.
    As in NVIDIA's later code (pytorch-quantization, calib/histogram.py), the bin of zero counts as its neighbours do:
    the zeros behind a ReLU are exact on any grid. And as in MXNet's (contrib/quantization.py, _smooth_distribution), a
    bin that P has something in and Q nothing counts as a ten-thousandth of a value, or no outlier could go.
    """
    histogram = _coarsened(histogram, _FEW_BINS)
    counts = histogram.counts.astype(np.float64)
    zero = -histogram.first
    neighbours = [counts[i] for i in (zero - 1, zero + 1) if 0 <= i < len(counts)]
    counts[zero] = np.mean(neighbours) if neighbours else 0.0
    left, right = zero, len(counts) - 1 - zero
    widest = max(left, right)
    reach = np.unique(np.linspace(1, widest, min(widest, _ENTROPY_CANDIDATES)).astype(np.int64)) if widest else None
    if reach is None or not counts.any():
        return histogram.seen
    starts, ends = zero - np.minimum(reach, left), zero + np.minimum(reach, right) + 1
    wide_enough = ends - starts >= _LEVELS
    if not wide_enough.any():
        return histogram.seen
    starts, ends = starts[wide_enough], ends[wide_enough]
    candidates = divergences(counts, starts, ends)
    # Of equals the widest: min takes the first.
    best = len(candidates) - 1 - int(np.argmin(candidates[::-1]))
    return Range(
        histogram.lower_edge(histogram.first + int(starts[best])) if starts[best] < zero else histogram.seen.low,
        histogram.upper_edge(histogram.first + int(ends[best]) - 1) if ends[best] > zero + 1 else histogram.seen.high,
    )


def least_squares_range(histogram: Histogram) -> Range:
    """Choose the range with the least expected squared error of rounding and clipping, over the histogram.

    Both ends are searched, each for itself, since the grid need not be symmetric: a first look at many pairs, then
    closer ones around the best so far, with the grid's own rounding. The range that was seen is among the candidates,
    so the `squared_error` of the result is never above its.
    """
    if len(histogram.counts) == 1:
        return histogram.seen
    counts, values = _occupied(histogram)
    best = seen = histogram.seen
    least = _squared_error(counts, values, seen)

    def look_at(candidates: Iterable[Range]) -> None:
        nonlocal best, least
        for candidate in candidates:
            error = _squared_error(counts, values, candidate)
            if error < least:
                best, least = candidate, error

    look_at(_first_look(counts, values, seen))
    for _ in range(2):
        centre = best
        look_at(Range(centre.low, min(seen.high, centre.high * factor)) for factor in _CLOSER)
        centre = best
        look_at(Range(max(seen.low, centre.low * factor), centre.high) for factor in _CLOSER)
    return best


def squared_error(histogram: Histogram, chosen: Range) -> float:
    """Return the mean squared difference between values and what the 8-bit grid over `chosen` makes of them.

    Each bin's middle stands for its values. Grids that are signed and unsigned give the same.
    """
    return _squared_error(*_occupied(histogram), chosen) / max(histogram.total, 1)


def _occupied(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """Counts and middles of the bins that have any; float64, shape (bins,)."""
    bins = np.flatnonzero(histogram.counts)
    return histogram.counts[bins].astype(np.float64), histogram.centres[bins]


def _squared_error(counts: np.ndarray, values: np.ndarray, chosen: Range) -> float:
    params = activation_params(chosen, signed=False)
    levels = np.clip(np.rint(values / params.scale) + params.zero_point, 0, _LEVELS - 1) - params.zero_point
    errors = values - levels * params.scale
    return float(counts @ (errors * errors))


def _first_look(counts: np.ndarray, values: np.ndarray, seen: Range) -> list[Range]:
    """The most promising of many pairs of ends, told from sums over the bins before and after them.

    Errors of rounding are taken as evenly spread over a step s, s²/12 each (W. R. Bennett, Spectra of quantized
    signals, 1948), but for values that round to zero, whose error is the value.
    """
    moments = [np.concatenate(([0.0], np.cumsum(counts * values**power))) for power in range(3)]
    highs = seen.high * _FRACTIONS if seen.high > 0 else np.zeros(1)
    lows = seen.low * _FRACTIONS if seen.low < 0 else np.zeros(1)
    above, below = np.searchsorted(values, highs, side="right"), np.searchsorted(values, lows, side="left")
    mass, first, second = (total[-1] - total[above] for total in moments)
    clipped_high = second - 2 * highs * first + highs**2 * mass
    mass, first, second = (total[below] for total in moments)
    clipped_low = second - 2 * lows * first + lows**2 * mass
    step = (highs - lows[:, None]) / (_LEVELS - 1)
    # Rows are lows, columns highs.
    zero_end = np.minimum(np.searchsorted(values, step / 2, side="right"), above)
    zero_start = np.maximum(np.searchsorted(values, -step / 2, side="left"), below[:, None])
    rounded = moments[0][above] - moments[0][below][:, None] - (moments[0][zero_end] - moments[0][zero_start])
    to_zero = moments[2][zero_end] - moments[2][zero_start]
    errors = clipped_high + clipped_low[:, None] + step**2 / 12 * rounded + to_zero
    promising = np.argsort(errors, axis=None)[:_PROMISING]
    return [
        Range(float(lows[row]), float(highs[column]))
        for row, column in zip(*divmod(promising, len(highs)), strict=True)
    ]


def _coarsened(histogram: Histogram, bins: int) -> Histogram:
    while len(histogram.counts) > bins:
        histogram = histogram.coarser()
    return histogram


def divergences(counts: np.ndarray, starts: np.ndarray, ends: np.ndarray, *, levels: int = _LEVELS) -> np.ndarray:
    """Compute the Kullback-Leibler divergence of Q from P for each candidate; infinite where nothing lies within it.

    Sums over bins are differences of running sums, so that the cost of a candidate depends on the number of levels, not
    of bins: Σ p·log(p/q) = Σ p·log p - Σ over levels (Σ p of the level) · log q, as q is the same all over a level.

    Args:
        counts: float64, shape (bins,).
        starts: the first bin of each candidate; int, shape (candidates,).
        ends: the bin after its last one; each candidate has a bin per level at least.

    Returns:
        Shape (candidates,), in nats.
    """
    running, running_occupied, running_own = (
        np.concatenate(([0.0], np.cumsum(terms))) for terms in (counts, counts > 0, _times_logarithm(counts))
    )
    total = running[-1]
    borders = starts[:, None] + np.arange(levels + 1) * (ends - starts)[:, None] // levels
    level = np.diff(running[borders], axis=1)
    occupied = np.diff(running_occupied[borders], axis=1)
    within = running[ends] - running[starts]
    reference = level.copy()
    own = running_own[ends] - running_own[starts]
    for column, edges, beyond in ((0, starts, running[starts]), (-1, ends - 1, total - running[ends])):
        edge = counts[edges]
        reference[:, column] += beyond
        occupied[:, column] += (edge == 0) & (beyond > 0)
        own += _times_logarithm(edge + beyond) - _times_logarithm(edge)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_bin = np.where(level > 0, level / occupied, _ALMOST_NOTHING)
        cross = np.where(reference > 0, reference * np.log(per_bin), 0.0).sum(axis=1)
        divergences = (own - cross) / total - np.log(total) + np.log(within)
    return np.where(within > 0, divergences, np.inf)


def _times_logarithm(terms: np.ndarray) -> np.ndarray:
    """x · log x, 0 at 0."""
    return terms * np.log(np.where(terms > 0, terms, 1.0))

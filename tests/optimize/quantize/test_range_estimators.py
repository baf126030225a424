"""Ranges chosen from histograms, against brute force and the methods' own pseudocode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgedeploy.optimize.quantize.histogram import Histogram, HistogramBuilder, Range
from edgedeploy.optimize.quantize.quant_params import activation_params
from edgedeploy.optimize.quantize.range_estimators import (
    divergences,
    entropy_range,
    least_squares_range,
    percentile_range,
    squared_error,
)

VALUES = arrays(np.float32, st.integers(1, 300), elements=st.floats(-1000, 1000, width=32))


def counted(values: np.ndarray) -> Histogram:
    builder = HistogramBuilder()
    builder.add(values.astype(np.float32), float(values.min()), float(values.max()))
    return builder.finish()


def true_error(values: np.ndarray, chosen: Range) -> float:
    """What the grid over `chosen` does to the values themselves."""
    params = activation_params(chosen, signed=True)
    integers = np.clip(np.rint(values.astype(np.float64) / params.scale) + params.zero_point, -128, 127)
    return float((((integers - params.zero_point) * params.scale - values) ** 2).mean())


def _distributions(rng: np.random.Generator):
    return {
        "normal": rng.standard_normal(200_000),
        "rectified": np.maximum(rng.standard_normal(200_000), 0),
        "negative": -np.maximum(rng.standard_normal(200_000), 0),
        "laplace": rng.laplace(size=200_000),
        "heavy tails": rng.standard_t(2, size=200_000),
        "one outlier": np.append(rng.standard_normal(200_000), 300.0),
        "hard-swish": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1))(3 * rng.standard_normal(200_000)),
        "sigmoid": 1 / (1 + np.exp(-rng.standard_normal(200_000))),
        "uniform": rng.uniform(-1, 3, size=200_000),
        "levels": rng.integers(0, 256, size=200_000) / 255.0,
    }


DISTRIBUTIONS = _distributions(np.random.default_rng(3))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("choose", [lambda h: percentile_range(h, 99.99), entropy_range, least_squares_range])
def test_ranges_hold_zero_and_no_more_than_was_seen(name, choose):
    histogram = counted(DISTRIBUTIONS[name])
    chosen = choose(histogram)
    assert histogram.seen.low <= chosen.low <= 0.0 <= chosen.high <= histogram.seen.high
    assert type(chosen.low) is float and type(chosen.high) is float
    assert chosen.low < chosen.high


def test_percentiles_of_a_known_distribution():
    histogram = counted(np.linspace(-100, 100, 200_001))
    chosen = percentile_range(histogram, 99.0)
    assert chosen.low == pytest.approx(-98, abs=2 * histogram.width)
    assert chosen.high == pytest.approx(98, abs=2 * histogram.width)
    assert percentile_range(histogram, 100.0) == Range(-100.0, 100.0)


@given(values=VALUES, percentile=st.floats(50.1, 100))
def test_no_more_is_cut_off_than_was_asked(values, percentile):
    chosen = percentile_range(counted(values), percentile)
    assert (values > chosen.high).mean() <= (100 - percentile) / 100 + 1e-12
    assert (values < chosen.low).mean() <= (100 - percentile) / 100 + 1e-12


@pytest.mark.parametrize("percentile", [50, 100.1, float("nan")])
def test_a_percentile_that_is_none(percentile):
    with pytest.raises(ValueError, match="percentile"):
        percentile_range(counted(np.ones(3)), percentile)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_least_squares_against_brute_force(name):
    values = DISTRIBUTIONS[name].astype(np.float32)
    histogram = counted(values)
    seen = histogram.seen
    fractions = np.concatenate((np.linspace(1, 0.2, 41), np.geomspace(0.19, 0.01, 20)))
    pairs = [
        Range(float(seen.low * a), float(seen.high * b))
        for a in (fractions if seen.low < 0 else [1.0])
        for b in (fractions if seen.high > 0 else [1.0])
    ]
    least = min(squared_error(histogram, pair) for pair in pairs)
    chosen = least_squares_range(histogram)
    assert squared_error(histogram, chosen) <= 1.01 * least
    assert squared_error(histogram, chosen) <= squared_error(histogram, seen)
    # And not only in terms of the histogram.
    assert true_error(values, chosen) <= 1.02 * min(
        true_error(values, seen), *map(lambda p: true_error(values, p), pairs[::97])
    )


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_error_over_the_histogram_is_that_of_the_values(name):
    values = DISTRIBUTIONS[name].astype(np.float32)
    histogram = counted(values)
    for factor in (1.0, 0.7):
        chosen = Range(histogram.seen.low * factor, histogram.seen.high * factor)
        expected = true_error(values, chosen)
        # Within a bin's own spread.
        assert abs(squared_error(histogram, chosen) - expected) <= 0.1 * expected + histogram.width**2


def test_values_that_a_grid_holds_exactly_are_not_clipped():
    values = np.repeat(np.arange(256) / 16, 100)
    histogram = counted(values)
    assert true_error(values, least_squares_range(histogram)) <= true_error(values, histogram.seen) + histogram.width**2


@settings(max_examples=50)
@given(values=VALUES)
def test_least_squares_is_never_worse_than_what_was_seen(values):
    histogram = counted(values)
    assert squared_error(histogram, least_squares_range(histogram)) <= squared_error(histogram, histogram.seen)


def divergence(counts: list[int], start: int, end: int, levels: int) -> float:
    """Migacz's pseudocode, word for word, but for empty bins of Q."""
    inside = [float(count) for count in counts[start:end]]
    p = list(inside)
    p[0] += sum(counts[:start])
    p[-1] += sum(counts[end:])
    q = [0.0] * len(p)
    for level in range(levels):
        members = range(level * len(p) // levels, (level + 1) * len(p) // levels)
        occupied = [i for i in members if p[i] > 0]
        for i in occupied:
            q[i] = sum(inside[j] for j in members) / len(occupied)
    if not sum(q):
        return np.inf
    p, q = [x / sum(p) for x in p], [(x or 1e-4) / sum(q) for x in q]
    return sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a)


@pytest.mark.slow
@settings(max_examples=200)
@given(counts=st.lists(st.sampled_from([0, 0, 1, 2, 7, 100]), min_size=9, max_size=30), data=st.data())
def test_divergences_against_the_pseudocode(counts, data):
    if not any(counts):
        return
    start = data.draw(st.integers(0, len(counts) - 8))
    end = data.draw(st.integers(start + 8, len(counts)))
    expected = divergence(counts, start, end, levels=8)
    found = divergences(np.array(counts, float), np.array([start]), np.array([end]), levels=8)[0]
    assert found == pytest.approx(expected, abs=1e-9)


def test_entropy_cuts_off_a_lone_outlier_and_keeps_what_is_even():
    assert entropy_range(counted(DISTRIBUTIONS["one outlier"])).high < 100
    assert entropy_range(counted(DISTRIBUTIONS["uniform"])) == counted(DISTRIBUTIONS["uniform"]).seen


def test_entropy_takes_each_side_for_what_it_is():
    histogram = counted(DISTRIBUTIONS["hard-swish"])
    chosen = entropy_range(histogram)
    assert chosen.low == histogram.seen.low, "a short side is not cut"
    assert chosen.high < histogram.seen.high


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, 1e-45, 3e38])
@pytest.mark.parametrize("choose", [lambda h: percentile_range(h, 99.99), entropy_range, least_squares_range])
def test_a_constant_keeps_its_value(choose, value):
    histogram = counted(np.full(1000, value))
    chosen = choose(histogram)
    kept = chosen.high if value > 0 else chosen.low
    assert kept == pytest.approx(np.float32(value), rel=0.01)

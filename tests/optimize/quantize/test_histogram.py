from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgedeploy.optimize.quantize.histogram import HALF, Histogram, HistogramBuilder, Range

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
PARTS = st.lists(arrays(np.float32, st.integers(1, 40), elements=FLOATS), min_size=1, max_size=6)


def counted(*parts: np.ndarray) -> Histogram:
    builder = HistogramBuilder()
    for part in parts:
        builder.add(part, float(part.min()), float(part.max()))
    return builder.finish()


def bins_of(values: np.ndarray, width: float) -> dict[int, int]:
    numbers, counts = np.unique(np.trunc(values.astype(np.float64) / width).astype(int), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


@pytest.mark.slow
@given(parts=PARTS)
def test_every_value_is_counted_in_its_bin(parts):
    values = np.concatenate(parts)
    histogram = counted(*parts)
    assert histogram.total == values.size
    found = {int(i): int(n) for i, n in zip(histogram.numbers, histogram.counts, strict=True) if n}
    assert found == bins_of(values, histogram.width)
    assert histogram.seen == Range(min(0.0, float(values.min())), max(0.0, float(values.max())))


@pytest.mark.slow
@given(parts=PARTS)
def test_bins_reach_from_the_smallest_to_the_largest_value_and_hold_zero(parts):
    values = np.concatenate(parts).astype(np.float64)
    histogram = counted(*parts)
    first, last = int(histogram.numbers[0]), int(histogram.numbers[-1])
    assert first <= 0 <= last
    assert len(histogram.counts) < 2 * HALF
    assert (first - 1) * histogram.width < values.min() and values.max() < (last + 1) * histogram.width
    assert histogram.lower_edge(first) <= values.min() or histogram.lower_edge(first) == 0.0
    if np.abs(values).max() > 2.0**-90:
        assert max(-first, last) >= HALF // 2, "half of the bins at least are used"


@pytest.mark.slow
@given(parts=PARTS, data=st.data())
def test_the_order_of_samples_does_not_matter(parts, data):
    one, other = counted(*parts), counted(*data.draw(st.permutations(parts)))
    assert one.first == other.first and one.width == other.width and one.seen == other.seen
    np.testing.assert_array_equal(one.counts, other.counts)


@pytest.mark.slow
@given(parts=PARTS)
def test_coarser_bins_hold_the_same_values(parts):
    coarse = counted(*parts).coarser()
    found = {int(i): int(n) for i, n in zip(coarse.numbers, coarse.counts, strict=True) if n}
    assert found == bins_of(np.concatenate(parts), coarse.width)


@pytest.mark.parametrize("sizes", [(100_000,), (10, 100_000, 10), (16_384, 16_384, 16_385), (32_768, 1, 32_767)])
def test_large_and_small_parts_mix(sizes):
    rng = np.random.default_rng(5)
    parts = [(rng.standard_normal(size) * 10**i).astype(np.float32) for i, size in enumerate(sizes)]
    histogram = counted(*parts)
    found = {int(i): int(n) for i, n in zip(histogram.numbers, histogram.counts, strict=True) if n}
    assert found == bins_of(np.concatenate(parts), histogram.width)


def test_arrays_of_any_layout():
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    assert counted(values).total == 24
    assert counted(np.float32(3).reshape(())).seen == Range(0.0, 3.0)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, -1e-38, 2.0**-113])
def test_what_is_almost_zero_is_zero(value):
    histogram = counted(np.full(10, value, np.float32))
    assert histogram.counts.tolist() == [10] and histogram.first == 0 and histogram.centres.tolist() == [0.0]


def test_the_largest_numbers_fit():
    largest = float(np.finfo(np.float32).max)
    histogram = counted(np.array([largest, -largest, 1.0], np.float32))
    assert histogram.total == 3 and histogram.seen == Range(-largest, largest)
    assert np.isfinite(histogram.centres).all()


def test_constants():
    histogram = counted(np.full((3, 5), 5.0, np.float32), np.full(2, 5.0, np.float32))
    assert histogram.total == 17 and histogram.counts[-1] == 17 and histogram.first == 0

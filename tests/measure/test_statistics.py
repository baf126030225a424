from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.measure.statistics import median_absolute_deviation, percentile, samples_needed, summary

SAMPLES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


def test_the_bound_is_the_one_of_mlperf():
    assert [samples_needed(share) for share in (0.90, 0.95, 0.99)] == [64, 130, 662]


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.97, 0.99])
def test_the_bound_is_the_smallest_number_of_samples_that_satisfies_it(share):
    def odds(n: int) -> float:
        return sum(math.comb(n, i) * (1 - share) ** i * share ** (n - i) for i in (0, 1))

    needed = samples_needed(share)
    assert odds(needed) < 0.01 <= odds(needed - 1)


@given(SAMPLES, st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
def test_percentiles_are_those_of_hyndman_and_fan_1(samples, share):
    assert percentile(sorted(samples), share) == np.percentile(samples, share * 100, method="inverted_cdf")


@given(SAMPLES)
def test_a_percentile_is_a_sample_that_the_share_does_not_exceed(samples):
    found = percentile(sorted(samples), 0.9)
    assert found in samples
    assert sum(sample <= found for sample in samples) >= 0.9 * len(samples)


@given(SAMPLES)
def test_the_deviation_is_numpys(samples):
    expected = np.median(np.abs(np.asarray(samples) - np.median(samples)))
    assert median_absolute_deviation(samples) == pytest.approx(expected)


def test_a_summary_of_a_hundred():
    found = summary([float(number) for number in range(100, 0, -1)], notes=["ended early"])
    assert (found.n, found.min_ms, found.p50_ms, found.mean_ms, found.p90_ms) == (100, 1.0, 50.5, 50.5, 90.0)
    assert found.p95_ms is None and found.p99_ms is None
    assert found.mad_ms == 25.0
    assert found.notes == (
        "ended early",
        "p95 needs 130 samples; there are 100",
        "p99 needs 662 samples; there are 100",
    )


@pytest.mark.parametrize(("n", "known"), [(63, 0), (64, 1), (129, 1), (130, 2), (661, 2), (662, 3)])
def test_percentiles_are_given_from_their_bound_on(n, known):
    found = summary([1.0] * n)
    assert sum(figure is not None for figure in (found.p90_ms, found.p95_ms, found.p99_ms)) == known
    assert len(found.notes) == 3 - known


def test_a_summary_of_nothing_is_a_mistake():
    with pytest.raises(ValueError, match="at least one"):
        summary([])

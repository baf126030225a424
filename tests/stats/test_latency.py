from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from edgedeploy.stats.latency import (
    binomial_cdf,
    coefficient_of_variation,
    drift,
    early_stopping_estimate,
    interval_ranks,
    median_absolute_deviation,
    modes,
    outliers,
    percentile,
    percentile_interval,
    samples_needed,
    summary,
)
from edgedeploy.stats.paired_ratio import interval_rank

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


@pytest.mark.slow
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


SHARES = st.sampled_from([0.01, 0.1, 0.5, 0.9, 0.95, 0.99])
ONE_MODE = {
    "normal": lambda draw, n: 10 + draw.normal(size=n),
    "even": lambda draw, n: draw.uniform(5, 6, n),
    "exponential": lambda draw, n: 1 + draw.exponential(size=n),
    "lognormal": lambda draw, n: draw.lognormal(size=n),
    "with outliers": lambda draw, n: 10 + draw.normal(size=n) * np.where(draw.random(n) < 0.02, 100, 1),
    "a peak with a wide tail": lambda draw, n: np.where(
        draw.random(n) < 0.75, 10 + 0.01 * draw.normal(size=n), draw.uniform(10, 15, n)
    ),
}


def bimodal(n: int, low_share: float = 0.5, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.where(draw.random(n) < low_share, 8.1, 12.3) + 0.2 * draw.normal(size=n)


@given(st.integers(1, 2000), st.data(), SHARES)
def test_the_binomial_is_scipys(n, data, share):
    k = data.draw(st.integers(-1, n + 1))
    assert binomial_cdf(k, n, share) == pytest.approx(binom.cdf(k, n, share), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("k", [499_000, 500_000, 500_700])
def test_the_binomial_of_a_million_is_scipys(k):
    assert binomial_cdf(k, 10**6, 0.5) == pytest.approx(binom.cdf(k, 10**6, 0.5), rel=1e-6)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 19))
def test_the_binomial_is_exact_in_fractions(n, k, twentieths):
    share = Fraction(twentieths, 20)
    exact = sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(min(k, n) + 1))
    assert binomial_cdf(k, n, twentieths / 20) == pytest.approx(float(exact), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("n", "share", "confidence", "ranks"),
    [
        # Of the median, one more than the sign test's critical values: 0, 1, 5 and 17 at 5 %, two-sided.
        (6, 0.5, 0.95, (1, 6)),
        (10, 0.5, 0.95, (2, 9)),
        (20, 0.5, 0.95, (6, 15)),
        (50, 0.5, 0.95, (18, 33)),
        (5, 0.5, 0.95, None),
        (64, 0.99, 0.95, None),
    ],
)
def test_ranks_are_those_of_tables(n, share, confidence, ranks):
    assert interval_ranks(n, share, confidence) == ranks


@given(st.integers(1, 5000), SHARES)
def test_ranks_are_the_innermost_whose_tails_are_small(n, share):
    ranks = interval_ranks(n, share)
    tail = 0.025
    if ranks is None:
        assert binom.cdf(0, n, share) > tail or binom.sf(n - 1, n, share) > tail
        return
    low, high = ranks
    assert 1 <= low < high <= n
    assert binom.cdf(low - 1, n, share) <= tail < binom.cdf(low, n, share)
    assert binom.sf(high - 1, n, share) <= tail < binom.sf(high - 2, n, share)


@given(st.integers(1, 1000))
def test_ranks_of_the_median_are_those_of_paired_ratios(n):
    rank = interval_rank(n)
    assert interval_ranks(n, 0.5) == ((rank, n + 1 - rank) if rank else None)


@pytest.mark.parametrize(("n", "share"), [(64, 0.5), (200, 0.9), (1024, 0.99)])
def test_intervals_hold_the_percentile_as_often_as_they_say(n, share):
    """Of a long-tailed distribution, 2,000 times."""
    draws = np.sort(np.random.default_rng(1).exponential(size=(2000, n)), axis=1)
    low, high = interval_ranks(n, share)
    true = -math.log(1 - share)
    held = ((draws[:, low - 1] <= true) & (true <= draws[:, high - 1])).mean()
    assert 0.945 <= held <= 0.985


@given(SAMPLES, SHARES)
def test_an_interval_is_of_samples_and_holds_the_figure(samples, share):
    ordered = sorted(samples)
    interval = percentile_interval(ordered, share)
    if interval:
        assert set(interval) <= set(samples)
        assert interval[0] <= percentile(ordered, share) <= interval[1]


@pytest.mark.parametrize(
    ("share", "n", "discarded"), [(0.9, 64, 1), (0.9, 1024, 80), (0.99, 662, 1), (0.99, 10_000, 77)]
)
def test_the_early_stopping_estimate_is_mlperfs(share, n, discarded):
    assert binom.cdf(discarded, n, 1 - share) < 0.01 <= binom.cdf(discarded + 1, n, 1 - share)
    ordered = [float(number) for number in range(n)]
    assert early_stopping_estimate(ordered, share) == ordered[n - discarded]


@given(st.integers(1, 1500), st.sampled_from([0.9, 0.95, 0.99]))
def test_an_early_stopping_estimate_is_there_with_the_percentile_and_not_below_it(n, share):
    ordered = [float(number) for number in range(n)]
    estimate = early_stopping_estimate(ordered, share)
    assert (estimate is None) == (n < samples_needed(share))
    assert estimate is None or estimate >= percentile(ordered, share)


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=200))
def test_the_coefficient_of_variation_is_numpys(samples):
    expected = np.std(samples, ddof=1) / np.mean(samples)
    assert coefficient_of_variation(samples) == pytest.approx(expected, abs=1e-12)


def test_one_sample_does_not_vary():
    assert coefficient_of_variation([3.0]) is None
    assert coefficient_of_variation([0.0, 0.0]) is None


def test_a_run_that_slows_down_drifts():
    found = drift([10 + 0.002 * index + 0.01 * (index % 7) for index in range(900)])
    assert found.relative == pytest.approx(0.119, abs=0.01) and found.beyond_noise
    assert (found.first_ms, found.last_ms) == (pytest.approx(10.33, abs=0.01), pytest.approx(11.53, abs=0.01))


def test_noise_is_no_drift():
    draw = np.random.default_rng(3)
    apart = [drift(list(10 + draw.normal(size=300))).beyond_noise for _ in range(200)]
    # Two intervals of 95 % that do not overlap are rarer than one that misses.
    assert sum(apart) <= 4


def test_few_samples_have_no_drift():
    assert drift([1.0] * 17) is None
    assert drift([1.0] * 18).relative == 0
    assert drift([0.0] * 18) is None


@pytest.mark.parametrize("n", [64, 1024, 20_000])
@pytest.mark.parametrize("kind", ONE_MODE)
def test_one_mode_is_not_taken_for_two(kind, n):
    draw = np.random.default_rng(n)
    assert not any(modes(ONE_MODE[kind](draw, n)) for _ in range(20))


@pytest.mark.parametrize("low_share", [0.15, 0.5, 0.85])
def test_two_modes_are_found(low_share):
    found = modes(bimodal(1024, low_share))
    assert (found.low_ms, found.high_ms) == (pytest.approx(8.1, abs=0.1), pytest.approx(12.3, abs=0.1))
    assert found.high_share == pytest.approx(1 - low_share, abs=0.04)
    assert found.ashman_d > 10


def test_two_modes_are_found_beside_outliers_and_when_they_have_no_width():
    assert modes([*bimodal(1000), *[500.0] * 10])
    assert modes([8.0, 12.0] * 50).ashman_d == 1000


@given(SAMPLES)
def test_modes_are_asked_of_anything(samples):
    found = modes(samples)
    assert found is None or (found.low_ms < found.high_ms and 0 < found.high_share < 1)


def test_outliers_are_counted_and_stay():
    samples = [float(number) for number in range(1, 101)] + [-200.0, 400.0, 500.0]
    found = outliers(sorted(samples))
    assert (found.below, found.above, found.largest_ms) == (1, 2, 500.0)
    assert summary(samples).mean_ms == pytest.approx(np.mean(samples))


@given(SAMPLES)
def test_fences_are_three_ranges_outside_the_quartiles(samples):
    ordered = sorted(samples)
    found = outliers(ordered)
    lower, upper = np.percentile(samples, [25, 75], method="inverted_cdf")
    assert found.low_fence_ms == lower - 3 * (upper - lower)
    assert found.below == sum(sample < found.low_fence_ms for sample in samples)
    assert found.above == sum(sample > found.high_fence_ms for sample in samples)


def test_a_summary_says_why_a_percentile_is_absent():
    few, none = summary([float(number) for number in range(100)]).percentiles[:2], summary([1.0]).percentiles
    assert [figure.share for figure in none] == [0.5, 0.9, 0.95, 0.99]
    assert few[0].low_ms == 39 and few[0].high_ms == 60 and few[0].early_stopping_ms is not None
    assert few[1].value_ms == 89 and few[1].low_ms < 89 < few[1].high_ms <= few[1].early_stopping_ms + 3
    assert none[0].value_ms == 1 and none[0].low_ms is None
    assert none[0].reason == "p50 has no 95 % confidence interval with n = 1"
    assert none[3].value_ms is None and none[3].reason == "p99 needs 662 samples; there are 1"

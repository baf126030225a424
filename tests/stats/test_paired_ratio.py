"""The interval of a median of ratios: pure functions, held against the distribution that they claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.stats.paired_ratio import CONFIDENCE, LEAST_PAIRS, interval_rank, median_ratio

_COSTS = st.lists(st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6)), min_size=LEAST_PAIRS, max_size=60)


@pytest.mark.parametrize(
    ("n", "rank"),
    # Conover's table A3 (binomial, p = 1/2): the largest l with P(k < l) of at most 0.025.
    [(5, 0), (6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (25, 8), (50, 18), (100, 40)],
)
def test_ranks_are_those_of_the_binomial_table(n: int, rank: int) -> None:
    assert interval_rank(n) == rank


@given(_COSTS)
def test_the_median_lies_in_its_interval_and_pairs_may_be_swapped(costs: list[tuple[float, float]]) -> None:
    before, after = zip(*costs, strict=True)
    figure, inverse = median_ratio(before, after), median_ratio(after, before)
    assert figure.low <= figure.value <= figure.high
    assert figure.pairs == len(costs)
    assert inverse.low == pytest.approx(1 / figure.high)
    assert inverse.high == pytest.approx(1 / figure.low)


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        # Skewed noise, as a busy machine makes it, on top of a cost that is 1.2 times the other.
        before = 1.0 + rng.exponential(0.1, 25)
        after = 1.2 * before * np.exp(rng.standard_cauchy(25).clip(-50, 50) * 0.02)
        figure = median_ratio(before.tolist(), after.tolist())
        held += figure.low <= 1.2 <= figure.high
    assert held / 1000 >= CONFIDENCE - 0.02


def test_what_slows_both_of_a_pair_leaves_the_ratio() -> None:
    load = [1.0, 1.0, 7.0, 9.0, 2.0, 1.0, 30.0, 1.0]
    figure = median_ratio(load, [2 * one for one in load])
    assert (figure.low, figure.value, figure.high) == (2.0, 2.0, 2.0)


def test_outliers_of_one_side_move_nothing() -> None:
    figure = median_ratio([1.0] * 12, [1.0] * 10 + [500.0, 0.001])
    assert (figure.low, figure.value, figure.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [([1.0] * 5, [1.0] * 5), ([1.0] * 7, [1.0] * 8), ([0.0, *[1.0] * 6], [1.0] * 7), ([float("nan")] * 7, [1.0] * 7)],
    ids=["few", "unpaired", "zero", "nan"],
)
def test_no_figure_without_pairs_of_costs(before: list[float], after: list[float]) -> None:
    with pytest.raises(ValueError, match="cost"):
        median_ratio(before, after)

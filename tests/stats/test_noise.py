"""Held against published tables, and against the distributions that they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgedeploy.stats.noise import CONFIDENCE, median_interval, prediction_noise, student_quantile


@pytest.mark.parametrize(
    ("freedom", "at_975", "at_995"),
    # NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, «Critical values of the Student's t distribution».
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (4, 2.776, 4.604),
        (5, 2.571, 4.032),
        (9, 2.262, 3.250),
        (10, 2.228, 3.169),
        (30, 2.042, 2.750),
        (100, 1.984, 2.626),
    ],
)
def test_quantiles_are_those_of_the_table(freedom: int, at_975: float, at_995: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(at_975, abs=6e-4)
    assert student_quantile(0.995, freedom) == pytest.approx(at_995, abs=6e-4)
    assert student_quantile(0.5, freedom) == pytest.approx(0.0, abs=1e-9)


def test_further_runs_lie_within_the_noise_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    outside = trials = 0
    for _ in range(4000):
        before, after = np.exp(rng.normal(3.0, 0.02, 4)), np.exp(rng.normal(3.0, 0.02, 3))
        noise = prediction_noise(before.tolist(), 3)
        assert noise is not None
        outside += math.exp(np.log(after).mean() - np.log(before).mean()) - 1 > noise
        trials += 1
    # Half of what is outside is above; 20 are expected, 4.5 is their standard deviation.
    assert 5 <= outside <= 36, (outside, trials, CONFIDENCE)


def test_the_noise_of_few_runs_is_not_known() -> None:
    assert prediction_noise([], 1) is None
    assert prediction_noise([10.0, 11.0], 1) is None
    assert prediction_noise([10.0, 10.0, 10.0], 1) == 0.0


def test_noise_does_not_overflow() -> None:
    assert prediction_noise([1e-300, 1.0, 1e300], 1) > 1e300


def test_noise_is_relative() -> None:
    one, hundred = (prediction_noise([figure * scale for figure in (10, 11, 12)], 2) for scale in (1, 100))
    assert one == pytest.approx(hundred)


def test_a_median_has_an_interval_from_six_samples_on() -> None:
    assert median_interval([3, 1, 2]) == (2, 2)
    assert median_interval([6, 1, 5, 2, 4, 3]) == (1, 6)
    # Conover's table A3: the 6th and the 15th of 20.
    assert median_interval(range(1, 21)) == (6, 15)

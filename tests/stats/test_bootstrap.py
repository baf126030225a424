"""Intervals of paired differences, against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgedeploy.stats.bootstrap import paired_change


def test_the_value_is_the_difference_of_the_means():
    before, after = np.array([1.0, 1, 0, 1]), np.array([1.0, 0, 1, 0])
    assert paired_change(before, after).value == pytest.approx(after.mean() - before.mean())


def test_no_loss_detected_is_not_no_loss():
    same = paired_change(np.ones(600), np.ones(600))
    assert (same.value, same.samples_changed) == (0.0, 0)
    # The rule of three, times the range that the scores may have had.
    assert (same.low, same.high) == (pytest.approx(-0.005), pytest.approx(0.005))
    one_side = paired_change(np.zeros(100), np.r_[np.ones(10), np.zeros(90)])
    assert one_side.low == pytest.approx(min(one_side.low, 0.1 - 0.03))


def test_pairing_takes_out_what_is_hard_for_both():
    rng = np.random.default_rng(1)
    hard = rng.random(400)
    change = paired_change(hard, hard - 0.01 + rng.normal(0, 0.001, 400))
    assert change.low < -0.01 < change.high
    assert change.high - change.low < 0.001, "unpaired, it would be some 0.08 wide"


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(300):
        before = (rng.random(300) < 0.9).astype(float)
        lost, won = rng.random(300) < 0.05, rng.random(300) < 0.05
        after = np.where(before > 0, ~lost, won).astype(float)
        # Of 90 % that are right 5 % are lost, of 10 % that are wrong 5 % won.
        change = paired_change(before, after, seed=trial)
        covered += change.low <= -0.9 * 0.05 + 0.1 * 0.05 <= change.high
    assert 0.91 <= covered / 300 <= 0.99


_SCORES = hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(-10, 10))


@settings(max_examples=50)
@given(_SCORES)
def test_the_value_lies_in_its_interval_and_the_seed_decides(before):
    after = np.roll(before, 1)
    change = paired_change(before, after)
    assert change.low <= change.value + 1e-9 and change.value - 1e-9 <= change.high
    assert change == paired_change(before, after)


@pytest.mark.parametrize("shapes", [(0, 0), (3, 4)])
def test_what_is_not_paired_is_refused(shapes):
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_change(np.zeros(shapes[0]), np.zeros(shapes[1]))

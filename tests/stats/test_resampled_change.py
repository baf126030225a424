"""The change of metrics that are no means, by resampling samples."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.stats.bootstrap import paired_change, resampled_change


def changed(before, after, **settings):
    return resampled_change(
        lambda weights: np.average(before, weights=weights),
        lambda weights: np.average(after, weights=weights),
        before.size,
        changed=int((before != after).sum()),
        step=1.0,
        **settings,
    )


def test_of_a_mean_it_is_the_paired_bootstrap(rng):
    before = (rng.random(300) < 0.8).astype(float)
    after = np.where(rng.random(300) < 0.1, 1 - before, before)
    mine, means = changed(before, after), paired_change(before, after)
    assert mine.value == pytest.approx(means.value)
    assert (mine.low, mine.high) == (pytest.approx(means.low, abs=0.01), pytest.approx(means.high, abs=0.01))
    assert mine.samples_changed == means.samples_changed


def test_where_nothing_changed_a_rare_change_may_be_unseen():
    change = changed(np.ones(300), np.ones(300))
    assert (change.value, change.low, change.high) == (0.0, -0.01, 0.01)


def test_resamples_without_a_value_are_left_out():
    def only_first(weights):
        return 1.0 if weights[0] else float("nan")

    change = resampled_change(only_first, lambda weights: 0.5, 3, changed=1, step=1.0)
    assert change.low == change.value == -0.5
    assert change.high == 0.5, "three in three samples may be otherwise"


def test_without_a_sample_there_is_no_change():
    with pytest.raises(ValueError, match="no sample"):
        resampled_change(lambda weights: 0.0, lambda weights: 0.0, 0, changed=0, step=1.0)

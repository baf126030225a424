"""Perplexity, by its definition."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.metrics.registry import find_metric


def test_of_a_model_that_knows_nothing_it_is_the_number_of_tokens():
    metric = find_metric("perplexity").start()
    metric.add([np.zeros((2, 3, 7))], np.array([[1, 2, 3], [0, 6, -100]]))
    assert metric.figure().value == pytest.approx(7.0)
    assert not metric.figure().larger_is_better


def test_tokens_are_counted_over_all_samples_together(rng):
    logits, labels = rng.normal(size=(4, 5, 6)), rng.integers(-1, 6, (4, 5))
    metric = find_metric("perplexity").start()
    metric.add([logits], labels)
    weights = np.array([2, 0, 1, 1])
    surprise, tokens = 0.0, 0
    for sample, weight in enumerate(weights):
        for step in range(5):
            if labels[sample, step] >= 0:
                shares = np.exp(logits[sample, step]) / np.exp(logits[sample, step]).sum()
                surprise -= weight * np.log(shares[labels[sample, step]])
                tokens += weight
    assert metric.compute(weights) == pytest.approx(np.exp(surprise / tokens))


def test_scores_that_are_no_numbers_are_the_worst_and_stay_finite():
    metric = find_metric("perplexity").start()
    metric.add([np.full((1, 2, 3), np.nan)], np.zeros((1, 2), int))
    assert 1e40 < metric.figure().value < np.inf


def test_labels_that_do_not_fit_are_said():
    with pytest.raises(DatasetError, match="needs logits"):
        find_metric("perplexity").start().add([np.zeros((1, 2, 3))], np.zeros((1, 3), int))
    with pytest.raises(DatasetError, match="a label is 3, expected 0 to 2"):
        find_metric("perplexity").start().add([np.zeros((1, 1, 3))], np.array([[3]]))

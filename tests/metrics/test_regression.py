"""Metrics of models that give numbers, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.metrics.registry import find_metric

LIBRARY = {
    "mae": sk.mean_absolute_error,
    "rmse": sk.root_mean_squared_error,
    "r2": sk.r2_score,
}


def computed(name, found, labels, weights=None):
    metric = find_metric(name).start()
    metric.add([found[:2]], labels[:2])
    metric.add([found[2:]], labels[2:])
    return metric.compute(weights)


@pytest.mark.parametrize("name", LIBRARY)
def test_the_figures_are_those_of_scikit_learn(name, rng):
    labels = rng.normal(size=30) + 1e4
    found = labels + rng.normal(size=30) / 3
    weights = np.bincount(rng.integers(0, 30, 30), minlength=30)
    drawn = np.repeat(np.arange(30), weights)
    assert computed(name, found[:, np.newaxis], labels) == pytest.approx(LIBRARY[name](labels, found), rel=1e-9)
    assert computed(name, found, labels, weights) == pytest.approx(LIBRARY[name](labels[drawn], found[drawn]), rel=1e-9)


def test_the_worked_examples_of_scikit_learn():
    # https://scikit-learn.org/stable/modules/model_evaluation.html#regression-metrics
    labels, found = np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])
    assert computed("mae", found, labels) == 0.5
    assert computed("rmse", found, labels) == pytest.approx(0.6123724356957945)
    assert computed("r2", found, labels) == pytest.approx(0.9486081370449679)


def test_smaller_errors_are_better_and_what_is_no_number_is_the_worst():
    metric = find_metric("rmse").start()
    metric.add([np.array([[1.0], [np.nan], [np.inf]])], np.zeros(3))
    assert not metric.figure().larger_is_better
    assert metric.figure().value > 1e90
    assert metric.scores()[0] > metric.scores()[1]


def test_series_of_other_lengths_are_given_as_a_tuple(rng):
    labels = (rng.normal(size=(4, 2)), rng.normal(size=(4, 2)))
    metric = find_metric("mae").start()
    metric.add([np.stack(labels) + 0.5], labels)
    assert metric.figure().value == pytest.approx(0.5)


def test_labels_that_fit_no_output_are_said():
    with pytest.raises(DatasetError, match="finds no output that the labels fit") as caught:
        find_metric("mae").start().add([np.zeros((3, 4))], np.zeros((3, 5)))
    assert "(3, 4)" in caught.value.why
    with pytest.raises(DatasetError, match="labels that are numbers"):
        find_metric("mae").start().add([np.zeros((1, 4))], ("a",))


def test_cosine():
    metric = find_metric("cosine").start()
    metric.add([np.array([[1.0, 0.0], [0.0, 2.0], [np.nan, 0.0]])], np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))
    assert metric.scores() == pytest.approx([2**-0.5, 1.0, -1.0])

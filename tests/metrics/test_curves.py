"""Metrics of classifiers that are no means over samples, against scikit-learn, weighted as the bootstrap does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.metrics.registry import find_metric


def softmax(rows):
    powers = np.exp(rows)
    return powers / powers.sum(axis=1, keepdims=True)


LIBRARY = {
    "balanced-accuracy": lambda y, s: sk.balanced_accuracy_score(y, s.argmax(1)),
    "f1": lambda y, s: sk.f1_score(y, s.argmax(1), average="binary" if s.shape[1] == 2 else "macro"),
    "f1-macro": lambda y, s: sk.f1_score(y, s.argmax(1), average="macro"),
    "f1-micro": lambda y, s: sk.f1_score(y, s.argmax(1), average="micro"),
    "auroc": lambda y, s: (
        sk.roc_auc_score(y, s[:, 1] - s[:, 0]) if s.shape[1] == 2 else sk.roc_auc_score(y, s, multi_class="ovr")
    ),
    "average-precision": lambda y, s: (
        sk.average_precision_score(y, s[:, 1] - s[:, 0])
        if s.shape[1] == 2
        else sk.average_precision_score(np.eye(s.shape[1])[y], s)
    ),
}


@pytest.mark.parametrize("name", LIBRARY)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.sampled_from([2, 3, 5]))
def test_weights_count_samples_as_often_as_a_resampled_set_has_them(name, seed, classes):
    rng = np.random.default_rng(seed)
    labels = np.concatenate((np.arange(classes), rng.integers(0, classes, 40)))
    # Few values, so that there are ties.
    scores = rng.integers(0, 6, (len(labels), classes)) / 2 + np.eye(classes)[labels]
    if classes > 2:
        # Softmax rounds: what ties in one order of computation does not in another.
        scores = softmax(scores)
    weights = np.concatenate((np.ones(classes, int), np.bincount(rng.integers(0, 40, 40), minlength=40)))
    drawn = np.repeat(np.arange(len(labels)), weights)
    metric = find_metric(name).start()
    metric.add([scores[:7]], labels[:7])
    metric.add([scores[7:]], labels[7:])
    assert metric.compute() == pytest.approx(LIBRARY[name](labels, scores), abs=1e-12)
    assert metric.compute(weights) == pytest.approx(LIBRARY[name](labels[drawn], scores[drawn]), abs=1e-12)


def test_the_worked_examples_of_scikit_learn():
    # https://scikit-learn.org/stable/modules/generated/sklearn.metrics.roc_auc_score.html and average_precision_score
    for name, expected in (("auroc", 0.75), ("average-precision", 0.8333333333333333)):
        metric = find_metric(name).start()
        metric.add([np.array([[0.1], [0.4], [0.35], [0.8]])], np.array([0, 0, 1, 1]))
        assert metric.figure().value == pytest.approx(expected)
    # https://scikit-learn.org/stable/modules/generated/sklearn.metrics.f1_score.html
    answers, labels = np.eye(3)[[0, 2, 1, 0, 0, 1]], np.array([0, 1, 2, 0, 1, 2])
    for name, expected in (("f1-macro", 0.26666666666666666), ("f1-micro", 1 / 3), ("f1", 0.26666666666666666)):
        metric = find_metric(name).start()
        metric.add([answers], labels)
        assert metric.figure().value == pytest.approx(expected)


def test_scores_that_are_no_numbers_are_the_worst():
    for name in ("f1", "auroc", "balanced-accuracy"):
        metric = find_metric(name).start()
        metric.add([np.array([[0.9, 0.1], [0.2, 0.8], [np.nan, 0.9]])], np.array([0, 1, 1]))
        assert metric.figure().value < 1
        assert np.isfinite(metric.scores()).all()


def test_what_cannot_be_computed_is_said():
    metric = find_metric("auroc").start()
    metric.add([np.eye(2)], np.array([1, 1]))
    with pytest.raises(DatasetError, match="no finite value") as caught:
        metric.figure()
    assert "one class" in caught.value.hint
    with pytest.raises(DatasetError, match="f1-binary is for two classes") as caught:
        metric = find_metric("f1-binary").start()
        metric.add([np.eye(3)], np.arange(3))
        metric.figure()
    assert "f1-macro" in caught.value.hint
    with pytest.raises(DatasetError, match="whole numbers"):
        find_metric("f1").start().add([np.eye(3)], ("a", "b", "c"))
    with pytest.raises(DatasetError, match="a label is 3, expected 0 to 2"):
        find_metric("f1").start().add([np.eye(3)], np.array([0, 1, 3]))

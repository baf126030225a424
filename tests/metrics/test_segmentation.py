"""Metrics of masks of classes, against scikit-learn's counts over all pixels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.metrics.registry import find_metric
from edgedeploy.metrics.resize import bilinear, nearest

PICTURES, CLASSES = 6, 4


def library(name, labels, answers):
    judged = labels != 255
    wanted, found = labels[judged], answers[judged]
    if name == "miou":
        return sk.jaccard_score(wanted, found, average="macro")
    present = [one for one in np.unique(np.concatenate((wanted, found))) if one != 0]
    return sk.f1_score(wanted, found, average="macro", labels=present)


@pytest.mark.parametrize("name", ["miou", "dice"])
def test_figures_are_those_of_scikit_learn_over_resampled_pictures_too(name, rng):
    scores = rng.normal(size=(PICTURES, CLASSES, 5, 7))
    labels = np.where(rng.random((PICTURES, 5, 7)) < 0.6, scores.argmax(axis=1), rng.integers(0, CLASSES, (6, 5, 7)))
    labels[rng.random(labels.shape) < 0.1] = 255
    metric = find_metric(name).start()
    metric.add([scores[:4]], labels[:4])
    metric.add([scores[4:]], labels[4:])
    assert metric.figure().value == pytest.approx(library(name, labels, scores.argmax(axis=1)), abs=1e-12)
    weights = np.array([3, 0, 1, 0, 2, 0])
    drawn = np.repeat(np.arange(PICTURES), weights)
    assert metric.compute(weights) == pytest.approx(library(name, labels[drawn], scores.argmax(axis=1)[drawn]))
    assert metric.scores().shape == (PICTURES,)


def test_masks_of_another_size_are_brought_to_that_of_the_labels():
    small = np.zeros((1, 2, 2, 2))
    small[0, 1, :, 1] = 2.0
    small[0, 0, :, 0] = 2.0
    label = np.array([[[0, 0, 1, 1]] * 4])
    for outputs in ([small], [small.argmax(axis=1)]):
        metric = find_metric("miou").start()
        metric.add(outputs, label)
        assert metric.figure().value == 1.0


def test_resizing_is_that_of_pytorch_and_onnx():
    # torch.nn.functional.interpolate(torch.tensor([[[[1., 2.], [3., 4.]]]]), size=(4, 4), mode="bilinear")[0, 0, :2]
    found = bilinear(np.array([[[1.0, 2.0], [3.0, 4.0]]]), (4, 4))[0]
    assert found[:2].tolist() == [[1.0, 1.25, 1.75, 2.0], [1.5, 1.75, 2.25, 2.5]]
    assert nearest(np.array([[1, 2], [3, 4]]), (4, 4))[0].tolist() == [1, 1, 2, 2]


def test_scores_that_are_no_numbers_are_no_answer():
    metric = find_metric("miou").start()
    metric.add([np.full((1, 2, 3, 3), np.nan)], np.zeros((1, 3, 3), int))
    assert metric.figure().value == 0.0


def test_labels_that_do_not_fit_are_said():
    with pytest.raises(DatasetError, match="a label is 2, expected 0 to 1, or 255"):
        find_metric("miou").start().add([np.zeros((1, 2, 3, 3))], np.full((1, 3, 3), 2))
    with pytest.raises(DatasetError, match="needs a mask of classes"):
        find_metric("dice").start().add([np.zeros((1, 2, 3, 3))], np.zeros(1))

"""A metric is tried on the float model's own answers: what it does not notice, and whether it or labels look wrong."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.metrics import metric_trial
from edgedeploy.metrics.group_agreement import ReferenceGroups
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.metrics.metric import MeanMetric
from edgedeploy.metrics.metric_trial import MetricTrial
from edgedeploy.metrics.registry import find_metric
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Detections


def a_hundredth(_figure):
    return 0.01


def tried(metric, batches, names=("y",), allowed=a_hundredth, declared=None):
    """Run the trial over pairs of outputs and labels."""
    trial, groups = MetricTrial(metric, allowed), ReferenceGroups(names, declared)
    for outputs, labels in batches:
        groups.add(outputs)
        trial.add(outputs, labels, {"x": np.zeros((len(labels), 2), np.float32)})
    return trial.result(groups.names, groups.groups())


def cosine(outputs, labels):
    found, wanted = (each.reshape(len(each), -1).astype(np.float64) for each in (outputs[0], labels))
    return (found * wanted).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)


def classifier(rng, samples=48, classes=5):
    labels = rng.integers(0, classes, samples)
    scores = rng.normal(0, 1, (samples, classes)).astype(np.float32)
    scores[np.arange(samples), labels] += 6
    return scores, labels


def yolo(rng, samples=12, anchors=60, classes=3):
    """Outputs (1, 4 + classes, anchors) of a detector that finds one object in each picture, with the labels."""
    found = []
    places = np.stack((np.linspace(30, 290, anchors), np.linspace(290, 30, anchors), *np.full((2, anchors), 40.0)))
    for _ in range(samples):
        output = np.concatenate((places, rng.beta(0.05, 40, (classes, anchors))))[np.newaxis].astype(np.float32)
        anchor, label = int(rng.integers(anchors)), int(rng.integers(classes))
        output[0, 4 + label, anchor] = 0.9
        x, y, w, h = places[:, anchor]
        box = np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]])
        found.append(([output], (Detections(boxes=box, classes=np.array([label])),)))
    return found


def test_a_metric_that_reads_all_is_trusted(rng):
    scores, labels = classifier(rng)
    trust = tried(find_metric("top1"), [([scores], labels)])
    assert trust.samples == 48 and trust.value == 1.0
    assert trust.blind_to == () and trust.doubts == ()
    assert trust.constant < 0.5 and trust.shuffled < 0.5


def test_a_built_in_metric_is_blind_to_the_outputs_that_it_does_not_read(rng):
    scores, labels = classifier(rng)
    state = rng.normal(0, 1, (48, 3, 4)).astype(np.float32)
    trust = tried(find_metric("top1"), [([scores, state], labels)], names=("y", "state"))
    assert trust.blind_to == ("state",) and trust.doubts == ()


def test_cosine_is_blind_to_a_detectors_scores_and_is_in_doubt(rng):
    batches = [(outputs, outputs[0]) for outputs, _ in yolo(rng)]
    trust = tried(MeanMetric("cosine_of_mine", cosine), batches)
    assert trust.blind_to == ("y[:, 4:7]",)
    assert "it does not tell them apart" in trust.doubts[-1]


def test_average_precision_sees_boxes_and_scores(rng):
    pytest.importorskip("pycocotools")
    head = Head(kind="yolov8")
    declared = find_head(head, ("y",)).groups
    trust = tried(find_metric("map50", head, ("y",)), yolo(rng), declared=declared)
    assert trust.value == pytest.approx(1.0)
    assert trust.blind_to == () and trust.doubts == ()


def test_labels_that_are_off_by_one_are_named(rng):
    scores, labels = classifier(rng)
    scores, labels = scores[labels < 4], labels[labels < 4]
    trust = tried(find_metric("top1"), [([scores], labels + 1)])
    assert any("changed by -1" in doubt and "1.0000" in doubt for doubt in trust.doubts)
    assert not any("changed by +1" in doubt for doubt in trust.doubts)


def test_boxes_whose_classes_are_off_by_one_are_named(rng):
    pytest.importorskip("pycocotools")
    moved = [(outputs, (Detections(boxes=label.boxes, classes=label.classes + 1),)) for outputs, (label,) in yolo(rng)]
    trust = tried(find_metric("map50", Head(kind="yolov8"), ("y",)), moved)
    assert any("changed by -1" in doubt for doubt in trust.doubts)


def test_labels_of_other_samples_are_in_doubt(rng):
    scores, labels = classifier(rng)
    trust = tried(find_metric("top1"), [([scores], rng.permutation(labels))])
    assert "the labels do not belong to these samples" in trust.doubts[0]


def test_an_error_that_is_to_be_small_is_tried_in_its_own_direction(rng):
    labels = rng.normal(0, 1, 40)
    answers = (labels + rng.normal(0, 0.1, 40)).astype(np.float32)[:, np.newaxis]
    trust = tried(find_metric("rmse"), [([answers], labels)])
    assert trust.doubts == () and trust.blind_to == ()
    assert trust.constant > trust.value and trust.shuffled > trust.value


def test_answers_of_different_extents_are_exchanged_whole(rng):
    def longest(outputs, labels):
        return np.array([float(len(outputs[0][0]) == labels[0])])

    batches = [([rng.normal(0, 1, (1, length)).astype(np.float32)], np.array([length])) for length in (3, 4, 5, 6, 7)]
    trust = tried(MeanMetric("longest", longest), batches)
    assert trust.samples == 5 and trust.value == 1.0 and trust.shuffled == 0.0


def test_what_is_kept_is_bounded_and_drawn_from_all_of_the_data(rng, monkeypatch):
    scores, labels = classifier(rng, samples=400, classes=4)
    order = np.argsort(labels)
    trust = tried(find_metric("top1"), [([scores[order]], labels[order])])
    assert trust.samples == metric_trial.MOST_SAMPLES
    # Of data in the order of its classes, the first samples are all of one.
    assert trust.doubts == ()
    monkeypatch.setattr(metric_trial, "MOST_BYTES", 10 * scores[0].nbytes)
    assert tried(find_metric("top1"), [([scores], labels)]).samples == 10
    monkeypatch.setattr(metric_trial, "MOST_BYTES", scores[0].nbytes)
    assert tried(find_metric("top1"), [([scores], labels)]) is None


def test_a_metric_that_fails_on_ruined_answers_has_noticed(rng):
    def strict(outputs, labels):
        if not np.isin(outputs[0], (1.0, 2.0, 3.0)).all():
            raise ValueError("not of mine")
        return (outputs[0][:, 0] == labels).astype(float)

    values = rng.integers(1, 4, (20, 1)).astype(np.float32)
    trust = tried(MeanMetric("strict", strict), [([values], values[:, 0])])
    assert trust.blind_to == () and trust.constant is None

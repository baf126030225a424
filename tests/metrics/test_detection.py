"""Average precision, against pycocotools over the same pictures and over resampled ones."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgedeploy.foundation.errors import DatasetError, UnknownNameError, UnsupportedError
from edgedeploy.metrics.change import metric_change
from edgedeploy.metrics.registry import find_metric
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Detections

PICTURES = 12
SIZE = 64
KINDS = {"map": "bbox", "map50": "bbox", "mask-map": "segm", "keypoint-map": "keypoints"}


def boxes_of(rng, count):
    corner = rng.uniform(0, 40, (count, 2))
    return np.concatenate((corner, corner + rng.uniform(4, 24, (count, 2))), axis=1)


def masks_of(boxes):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.stack([(columns >= b[0]) & (columns < b[2]) & (rows >= b[1]) & (rows < b[3]) for b in boxes])


@pytest.fixture
def pictures(rng):
    """Labels, and answers that are near most of them, with false ones among them."""
    labels, answers = [], []
    for place in range(PICTURES):
        count = 0 if place == 3 else int(rng.integers(1, 5))
        boxes, points = boxes_of(rng, count), rng.uniform(5, 50, (count, 17, 3))
        points[..., 2] = rng.integers(0, 3, (count, 17))
        labels.append(
            Detections(
                boxes=boxes,
                classes=rng.integers(0, 3, count),
                masks=masks_of(boxes) if count else np.zeros((0, SIZE, SIZE), bool),
                keypoints=points,
                crowds=rng.random(count) < 0.2,
            )
        )
        noise, extra = rng.normal(0, 2, (count, 4)), int(rng.integers(1, 4))
        found = np.concatenate((boxes + noise, boxes_of(rng, extra)))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        answers.append(
            Detections(
                boxes=found,
                classes=np.concatenate((labels[-1].classes, rng.integers(0, 4, extra))),
                # No ties: a resampled set has them in another order.
                scores=rng.permutation(np.linspace(0.05, 0.95, count + extra)) + place / 1000,
                masks=masks_of(found),
                keypoints=np.concatenate((points + rng.normal(0, 1, points.shape), rng.uniform(5, 50, (extra, 17, 3)))),
            )
        )
    return labels, answers


def by_pycocotools(name, labels, answers, drawn):
    """Return the figure over a set that has the pictures named by `drawn`, as often as it names them."""
    annotations, results = [], []
    for image, place in enumerate(drawn, start=1):
        label, answer = labels[place], answers[place]
        for one in range(len(label.boxes)):
            box = label.boxes[one]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(label.classes[one]) + 1,
                    "bbox": [*box[:2], *(box[2:] - box[:2])],
                    "area": float((box[2:] - box[:2]).prod()),
                    "iscrowd": int(label.crowds[one]),
                    "segmentation": coco_mask.encode(np.asfortranarray(label.masks[one].astype(np.uint8))),
                    "keypoints": label.keypoints[one].reshape(-1).tolist(),
                    "num_keypoints": int(np.count_nonzero(label.keypoints[one][:, 2])),
                }
            )
        for one in range(len(answer.boxes)):
            box = answer.boxes[one]
            results.append(
                {
                    "image_id": image,
                    "category_id": int(answer.classes[one]) + 1,
                    "score": float(answer.scores[one]),
                    **{
                        "bbox": {"bbox": [*box[:2], *(box[2:] - box[:2])]},
                        "segm": {"segmentation": coco_mask.encode(np.asfortranarray(answer.masks[one].astype("u1")))},
                        "keypoints": {"keypoints": answer.keypoints[one].reshape(-1).tolist()},
                    }[KINDS[name]],
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image + 1, "width": SIZE, "height": SIZE} for image in range(len(drawn))],
            "annotations": annotations,
            "categories": [{"id": category} for category in range(1, 5)],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), KINDS[name])
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    precision = precision[:1] if name == "map50" else precision
    return float(precision[precision > -1].mean())


@pytest.fixture
def metric_of(monkeypatch, tmp_path, pictures):
    """Make a metric whose head gives the answers that an output of places names."""
    (tmp_path / "our_answers.py").write_text(
        "ANSWERS = []\ndef read(outputs):\n    return [ANSWERS[i] for i in outputs[0]]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, answers=None):
        started = find_metric(name, Head(kind="our_answers:read")).start()
        import our_answers

        our_answers.ANSWERS = pictures[1] if answers is None else answers
        places = np.arange(PICTURES)
        started.add([places[:5]], tuple(pictures[0][:5]))
        started.add([places[5:]], tuple(pictures[0][5:]))
        return started

    yield make
    import sys

    sys.modules.pop("our_answers", None)


@pytest.mark.parametrize("name", KINDS)
def test_figures_are_those_of_pycocotools_over_resampled_pictures_too(name, metric_of, pictures, rng):
    metric = metric_of(name)
    assert metric.figure().value == pytest.approx(by_pycocotools(name, *pictures, range(PICTURES)), abs=1e-12)
    for _ in range(3):
        weights = np.bincount(rng.integers(0, PICTURES, PICTURES), minlength=PICTURES)
        drawn = np.repeat(np.arange(PICTURES), weights)
        assert metric.compute(weights) == pytest.approx(by_pycocotools(name, *pictures, drawn), abs=1e-12)


def test_what_is_right_has_1_and_what_is_ruined_0(metric_of, pictures):
    perfect = [
        Detections(boxes=each.boxes, classes=each.classes, scores=np.ones(len(each.boxes))) for each in pictures[0]
    ]
    before = metric_of("map", perfect)
    assert before.figure().value == pytest.approx(1.0)
    ruined = metric_of(
        "map", [Detections(boxes=np.empty((0, 4)), classes=np.empty(0, int), scores=np.empty(0))] * PICTURES
    )
    assert ruined.figure().value == 0.0
    change = metric_change(before, ruined)
    assert change.value == pytest.approx(-1.0)
    assert change.high == pytest.approx(-0.75), "three of twelve pictures may be otherwise"
    assert change.samples_changed == PICTURES - 1, "one picture has no labels"
    assert before.scores()[3] == 1.0, "nothing is there, and nothing was found"


def test_the_interval_holds_the_change(metric_of, pictures, rng):
    worse = []
    for each in pictures[1]:
        shift = rng.normal(0, 3, each.boxes.shape)
        worse.append(Detections(boxes=each.boxes + shift, classes=each.classes, scores=each.scores))
    change = metric_change(metric_of("map"), metric_of("map", worse))
    assert change.low < change.value < change.high
    assert change.samples == PICTURES


def test_what_the_metric_needs_is_said():
    with pytest.raises(UnsupportedError, match="needs to know the model's head") as caught:
        find_metric("map")
    assert "--head yolov8" in caught.value.hint
    with pytest.raises(UnknownNameError, match="there is no head 'yolo8'"):
        find_metric("map", Head(kind="yolo8"))
    with pytest.raises(DatasetError, match="needs boxes as labels"):
        find_metric("map", Head(kind="yolov8")).start().add([np.zeros((1, 6, 20))], np.zeros(1))

"""Average precision of detections, as COCO defines it (https://cocodataset.org/#detection-eval; Lin et al. 2014,
https://arxiv.org/abs/1405.0312).

- `map`: mean over IoU 0.50 to 0.95 in steps of 0.05 and over the classes that labels name, precision interpolated at
  101 recalls, at most 100 detections of a class and picture. `map50`: at IoU 0.5 alone.
- `mask-map`: as `map`, with the IoU of masks. `keypoint-map`: with the similarity of keypoints (OKS) in its place, at
  most 20 detections; of other than COCO's 17 points, each has the spread 1/points, as in ultralytics.

Which detection goes with which label is found by pycocotools, picture by picture; what is kept of a picture is a few
numbers for each detection, so that the curve can be drawn again over resampled pictures. Labels and answers are
`Detections` in pixels of the model's input.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.answers_metric import AnswersMetric, objects
from edgedeploy.metrics.libraries import library
from edgedeploy.metrics.metric import Metric
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Detections, Labels

_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)
_ANY_AREA = (0.0, 1e10)
"""As pycocotools has it for areas of all sizes."""
_KINDS = {"map": "bbox", "map50": "bbox", "mask-map": "segm", "keypoint-map": "keypoints"}
_MOST = {"bbox": 100, "segm": 100, "keypoints": 20}
_COCO_POINTS = 17
_USUAL = {"map": "yolov8", "map50": "yolov8", "mask-map": "yolov8", "keypoint-map": "heatmaps"}

_Picture = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Of the detections class and score, shape (detections, 2); whether each is a hit, shape (thresholds, detections);
whether it is left out (it met a crowd); of the labels class and number, shape (classes, 2)."""


class AveragePrecision(AnswersMetric):
    """One of the metrics above."""

    def __init__(self, name: str, head: Head | None, outputs: Sequence[str]) -> None:
        super().__init__(name, head, outputs, usual=_USUAL[name])
        self._kind = _KINDS[name]
        self._thresholds = _THRESHOLDS[:1] if name == "map50" else _THRESHOLDS

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        wanted = _checked(self.name, self._kind, labels)
        found = self.answers(outputs, feed, len(wanted))
        return objects([self._of_picture(each, label) for each, label in zip(found, wanted, strict=True)])

    def _of_picture(self, found: Any, label: Detections) -> _Picture:
        if not isinstance(found, Detections) or found.scores is None:
            raise DatasetError(f"the metric {self.name} needs a head that gives detections with scores")
        evaluation = library("pycocotools.cocoeval", "detection", self.name).COCOeval(iouType=self._kind)
        settings = evaluation.params
        settings.iouThrs, settings.maxDets = self._thresholds, [_MOST[self._kind]]
        if self._kind == "keypoints":
            points = 0 if label.keypoints is None else label.keypoints.shape[1]
            if points != _COCO_POINTS:
                settings.kpt_oks_sigmas = np.full(max(points, 1), 1.0 / max(points, 1))
        evaluation._gts, evaluation._dts = defaultdict(list), defaultdict(list)
        for annotation in _label_annotations(label, self._kind):
            evaluation._gts[0, annotation["category_id"]].append(annotation)
        for annotation in _answer_annotations(found, self._kind):
            evaluation._dts[0, annotation["category_id"]].append(annotation)
        overlap = evaluation.computeOks if self._kind == "keypoints" else evaluation.computeIoU
        parts, counts = [], []
        for category in sorted({key[1] for key in (*evaluation._gts, *evaluation._dts)}):
            evaluation.ious = {(0, category): overlap(0, category)}
            result = evaluation.evaluateImg(0, category, _ANY_AREA, _MOST[self._kind])
            if result is None:
                continue
            parts.append((category, result))
            counts.append((category, int(np.count_nonzero(result["gtIgnore"] == 0))))
        steps = len(self._thresholds)
        columns = [
            np.stack((np.full(len(result["dtScores"]), category), np.array(result["dtScores"], float)), axis=1)
            for category, result in parts
        ]
        hits = [result["dtMatches"].astype(bool).reshape(steps, -1) for _, result in parts]
        left = [np.asarray(result["dtIgnore"], bool).reshape(steps, -1) for _, result in parts]
        return (
            np.concatenate((np.empty((0, 2)), *columns)),
            np.concatenate((np.empty((steps, 0), bool), *hits), axis=1),
            np.concatenate((np.empty((steps, 0), bool), *left), axis=1),
            np.array(counts, np.float64).reshape(-1, 2),
        )

    def prepare(self, statistics: np.ndarray) -> list[tuple[Any, ...]]:
        """Return for each class that some label names: of its detections, the best first, the picture, hits and misses;
        and of its labels the picture and number."""
        detections = np.concatenate([picture[0] for picture in statistics])
        hits = np.concatenate([picture[1] for picture in statistics], axis=1)
        left = np.concatenate([picture[2] for picture in statistics], axis=1)
        owners = np.repeat(np.arange(len(statistics)), [len(picture[0]) for picture in statistics])
        labels = np.concatenate([picture[3] for picture in statistics])
        label_owners = np.repeat(np.arange(len(statistics)), [len(picture[3]) for picture in statistics])
        prepared = []
        for category in np.unique(labels[labels[:, 1] > 0, 0]):
            places = np.flatnonzero(detections[:, 0] == category)
            places = places[np.argsort(-detections[places, 1], kind="mergesort")]
            counted = labels[:, 0] == category
            right, wrong = hits[:, places] & ~left[:, places], ~hits[:, places] & ~left[:, places]
            prepared.append((owners[places], right, wrong, label_owners[counted], labels[counted, 1]))
        return prepared

    def value(self, prepared: list[tuple[Any, ...]], weights: np.ndarray) -> float:
        figures = []
        for owners, right, wrong, label_owners, counts in prepared:
            wanted = float(weights[label_owners] @ counts)
            if wanted:
                drawn = weights[owners]
                figures.append(
                    _interpolated(np.cumsum(drawn * right, axis=1), np.cumsum(drawn * wrong, axis=1), wanted)
                )
        return float(np.mean(figures)) if figures else math.nan

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        """Return the average precision of each picture by itself; of one without labels, 1 minus its best score."""
        found = np.empty(len(statistics))
        for place, picture in enumerate(statistics):
            value = self.value(self.prepare(objects([picture])), np.ones(1))
            found[place] = 1.0 - picture[0][:, 1].max(initial=0.0) if math.isnan(value) else value
        return found


def _interpolated(hits: np.ndarray, misses: np.ndarray, wanted: float) -> float:
    """Return the mean over thresholds of precision at 101 recalls, as `COCOeval.accumulate` does.

    Args:
        hits, misses: how many there are up to each detection, shape (thresholds, detections).
        wanted: labels.
    """
    if not hits.shape[1]:
        return 0.0
    precision = hits / (hits + misses + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / wanted
    total = 0.0
    for curve, reached in zip(envelope, recall, strict=True):
        places = np.searchsorted(reached, _RECALLS, side="left")
        total += float(curve[places[places < curve.size]].sum())
    return total / len(hits) / len(_RECALLS)


def _checked(name: str, kind: str, labels: Labels) -> tuple[Detections, ...]:
    wrong = next((label for label in labels if not isinstance(label, Detections)), None)
    if wrong is not None:
        raise DatasetError(
            f"the metric {name} needs boxes as labels, and found {type(wrong).__name__}",
            hint="give data with boxes (COCO, YOLO, VOC), or name a metric that fits the labels",
        )
    missing = {"segm": "masks", "keypoints": "keypoints"}.get(kind)
    if missing and any(len(label.boxes) and getattr(label, missing) is None for label in labels):
        raise DatasetError(f"the metric {name} needs labels with {missing}", hint="choose map, which needs boxes alone")
    return tuple(labels)


def _label_annotations(label: Detections, kind: str) -> list[dict[str, Any]]:
    found = []
    for place, box in enumerate(np.asarray(label.boxes, np.float64).reshape(-1, 4)):
        extent = np.maximum(box[2:] - box[:2], 0.0)
        is_crowd = int(label.crowds is not None and label.crowds[place])
        annotation: dict[str, Any] = {
            "id": place + 1,
            "category_id": int(label.classes[place]),
            "bbox": [*box[:2], *extent],
            "area": float(extent.prod() if label.areas is None else label.areas[place]),
            "iscrowd": is_crowd,
            "ignore": is_crowd,
        }
        if kind == "segm" and label.masks is not None:
            annotation["segmentation"] = _encoded(label.masks[place])
        if kind == "keypoints" and label.keypoints is not None:
            points = label.keypoints[place]
            annotation["keypoints"] = points.reshape(-1).tolist()
            annotation["ignore"] = int(is_crowd or not np.count_nonzero(points[:, 2]))
        found.append(annotation)
    return found


def _answer_annotations(found: Detections, kind: str) -> list[dict[str, Any]]:
    assert found.scores is not None
    annotations = []
    best = np.argsort(-found.scores, kind="stable")[:_MOST_KEPT]
    for place in best:
        box = found.boxes[place]
        extent = np.maximum(box[2:] - box[:2], 0.0)
        annotation: dict[str, Any] = {
            "id": int(place) + 1,
            "category_id": int(found.classes[place]),
            "bbox": [*box[:2], *extent],
            "area": float(extent.prod()),
            "score": float(found.scores[place]),
        }
        if kind == "segm":
            if found.masks is None:
                raise DatasetError("the metric mask-map needs a head that gives masks")
            annotation["segmentation"] = _encoded(found.masks[place])
        if kind == "keypoints":
            if found.keypoints is None:
                raise DatasetError("the metric keypoint-map needs a head that gives keypoints")
            annotation["keypoints"] = found.keypoints[place].reshape(-1).tolist()
        annotations.append(annotation)
    return annotations


_MOST_KEPT = 1000
"""Of a picture, over all classes: a head gives fewer."""


def _encoded(mask: np.ndarray) -> Any:
    """Return a mask as pycocotools takes it: run lengths along columns."""
    encode = library("pycocotools.mask", "detection", "mask-map").encode
    return encode(np.asfortranarray(mask.astype(np.uint8)))


def _make(name: str, head: Head | None, outputs: Sequence[str]) -> Metric:
    return AveragePrecision(name, head, outputs)


BUILT_IN = dict.fromkeys(_KINDS, _make)
"""How each of the metrics of this module is made, by its name."""

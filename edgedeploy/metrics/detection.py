"""Average precision of detections, as COCO defines it.

Sources: https://cocodataset.org/#detection-eval; Lin et al. 2014, https://arxiv.org/abs/1405.0312.

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
from msgspec import Struct

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


class _Curves(Struct, frozen=True, kw_only=True, eq=False):
    """The detections of the classes that labels name: class by class, the best first."""

    classes: int
    thresholds: int
    owners: np.ndarray
    """The picture of each detection."""
    starts: np.ndarray
    """The place of the first detection of each class."""
    left: np.ndarray | None
    """Detections that are not counted, shape (thresholds, detections); None where all are."""
    hits: np.ndarray
    """Places of the detections that are right, threshold by threshold."""
    hit_thresholds: np.ndarray
    hit_classes: np.ndarray
    label_owners: np.ndarray
    label_classes: np.ndarray
    label_counts: np.ndarray


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

    def prepare(self, statistics: np.ndarray) -> _Curves:
        detections = np.concatenate([picture[0] for picture in statistics])
        hits = np.concatenate([picture[1] for picture in statistics], axis=1)
        left = np.concatenate([picture[2] for picture in statistics], axis=1)
        owners = np.repeat(np.arange(len(statistics)), [len(picture[0]) for picture in statistics])
        labels = np.concatenate([picture[3] for picture in statistics])
        label_owners = np.repeat(np.arange(len(statistics)), [len(picture[3]) for picture in statistics])
        classes = np.unique(labels[labels[:, 1] > 0, 0])
        # Class by class, the best first; of equals the first picture's, as pycocotools has them.
        order = np.lexsort((-detections[:, 1], detections[:, 0]))
        order = order[np.isin(detections[order, 0], classes)]
        of_class = np.searchsorted(classes, detections[order, 0])
        counted = np.isin(labels[:, 0], classes)
        thresholds, places = np.nonzero(hits[:, order] & ~left[:, order])
        return _Curves(
            classes=len(classes),
            thresholds=len(hits),
            owners=owners[order],
            starts=np.searchsorted(of_class, np.arange(len(classes))),
            left=left[:, order] if left[:, order].any() else None,
            hits=places,
            hit_thresholds=thresholds,
            hit_classes=of_class[places],
            label_owners=label_owners[counted],
            label_classes=np.searchsorted(classes, labels[counted, 0]),
            label_counts=labels[counted, 1],
        )

    def value(self, prepared: _Curves, weights: np.ndarray) -> float:
        wanted = np.bincount(
            prepared.label_classes,
            weights[prepared.label_owners] * prepared.label_counts,
            minlength=prepared.classes,
        )
        present = wanted > 0
        return float(_precisions(prepared, weights, wanted)[present].mean()) if present.any() else math.nan

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        """Return the average precision of each picture by itself; of one without labels, 1 minus its best score."""
        found = np.empty(len(statistics))
        for place, picture in enumerate(statistics):
            value = self.value(self.prepare(objects([picture])), np.ones(1))
            found[place] = 1.0 - picture[0][:, 1].max(initial=0.0) if math.isnan(value) else value
        return found


def _precisions(curves: _Curves, weights: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the average precision of each class, as `COCOeval.accumulate` computes it.

    Only hits matter: between them recall stays, and precision falls. The curves of all classes and thresholds lie one
    behind the other.

    Args:
        wanted: labels of each class, by weight.
    """
    drawn = weights[curves.owners]
    counted = drawn[np.newaxis] if curves.left is None else drawn * ~curves.left
    seen = np.concatenate((np.zeros((len(counted), 1)), np.cumsum(counted, axis=1)), axis=1)
    rows = np.zeros_like(curves.hit_thresholds) if curves.left is None else curves.hit_thresholds
    all_before = seen[rows, curves.hits + 1] - seen[rows, curves.starts[curves.hit_classes]]
    curve = curves.hit_thresholds * curves.classes + curves.hit_classes
    first = np.append(True, curve[1:] != curve[:-1])[: curve.size]
    hits = np.cumsum(drawn[curves.hits])
    hits -= np.repeat((hits - drawn[curves.hits])[first], np.diff(np.append(np.flatnonzero(first), curve.size)))
    precision = hits / (all_before + np.spacing(1))
    # The largest from there on: each curve is lifted over those behind it, so that it begins anew.
    lift = 2.0 * (curves.thresholds * curves.classes - curve)
    envelope = np.maximum.accumulate((precision + lift)[::-1])[::-1] - lift
    recall = hits / np.maximum(wanted[curves.hit_classes], np.finfo(np.float64).tiny)
    reached = np.searchsorted(_RECALLS, recall, side="right")
    before = np.where(first, 0, np.roll(reached, 1))
    sums = np.bincount(curve, envelope * (reached - before), minlength=curves.thresholds * curves.classes)
    found: np.ndarray = sums.reshape(curves.thresholds, curves.classes).mean(axis=0) / len(_RECALLS)
    return found


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

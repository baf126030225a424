"""Boxes: forms, overlap, and suppression of those that are not the best of their place."""

from __future__ import annotations

import numpy as np

from edgedeploy.values.labels import Detections

MOST_CANDIDATES = 30_000
"""The best so many boxes of a picture are looked at, as in ultralytics' `non_max_suppression` (`max_nms`)."""


def corners(centers: np.ndarray) -> np.ndarray:
    """Return boxes as x0, y0, x1, y1, of boxes as center x, center y, width, height; shape (boxes, 4)."""
    half = centers[:, 2:] / 2
    found: np.ndarray = np.concatenate((centers[:, :2] - half, centers[:, :2] + half), axis=1)
    return found


def kept_boxes(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, *, iou_max: float, most: int) -> np.ndarray:
    """Return the places of the boxes that non-maximum suppression keeps, the best first: greedy, each class by itself.

    Args:
        boxes: x0, y0, x1, y1, shape (boxes, 4).
        iou_max: a box that overlaps a better one of its class by more goes.
        most: that are kept.
    """
    order = np.argsort(-scores, kind="stable")
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1)
    kept: list[int] = []
    while order.size and len(kept) < most:
        best = int(order[0])
        kept.append(best)
        rest = order[1:]
        extent = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        common = np.prod(np.maximum(extent, 0.0), axis=1)
        union = areas[best] + areas[rest] - common
        overlap = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
        order = rest[(overlap <= iou_max) | (classes[rest] != classes[best])]
    return np.array(kept, np.int64)


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each box with each other: shape (boxes, others); 0 of empty ones.

    Args:
        boxes, others: x0, y0, x1, y1, shapes (boxes, 4) and (others, 4).
    """
    lower = np.maximum(boxes[:, np.newaxis, :2], others[np.newaxis, :, :2])
    upper = np.minimum(boxes[:, np.newaxis, 2:], others[np.newaxis, :, 2:])
    common = np.prod(np.maximum(upper - lower, 0.0), axis=2)
    areas, other_areas = (np.prod(np.maximum(each[:, 2:] - each[:, :2], 0.0), axis=1) for each in (boxes, others))
    union = areas[:, np.newaxis] + other_areas - common
    found: np.ndarray = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return found


def best_candidates(scores: np.ndarray, score_min: float) -> tuple[np.ndarray, np.ndarray]:
    """Return anchors and classes of all scores over a minimum, at most `MOST_CANDIDATES` of the best.

    Args:
        scores: shape (anchors, classes). NaN is over no minimum.
    """
    anchors, classes = np.nonzero(scores > score_min)
    if anchors.size > MOST_CANDIDATES:
        best = np.argsort(-scores[anchors, classes], kind="stable")[:MOST_CANDIDATES]
        anchors, classes = anchors[best], classes[best]
    return anchors, classes


def suppressed(
    boxes: np.ndarray, scores: np.ndarray, *, score_min: float, iou_max: float, most: int
) -> tuple[Detections, np.ndarray]:
    """Return the detections of a picture, the best first, and the anchor that each is of. An anchor may give several
    classes, as in COCO evaluations of YOLO (`multi_label`).

    Args:
        boxes: x0, y0, x1, y1 of each anchor, shape (anchors, 4).
        scores: shape (anchors, classes).
        iou_max: from 1 on, nothing is suppressed.
    """
    anchors, classes = best_candidates(scores, score_min)
    found, chosen = scores[anchors, classes].astype(np.float64), boxes[anchors].astype(np.float64)
    finite = np.isfinite(chosen).all(axis=1) & np.isfinite(found)
    anchors, classes, found, chosen = anchors[finite], classes[finite], found[finite], chosen[finite]
    if iou_max >= 1:
        kept = np.argsort(-found, kind="stable")[:most]
    else:
        kept = kept_boxes(chosen, found, classes, iou_max=iou_max, most=most)
    detections = Detections(boxes=chosen[kept], classes=classes[kept].astype(np.int64), scores=found[kept])
    return detections, anchors[kept]


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(−x)), in float64."""
    found: np.ndarray = 0.5 * (1.0 + np.tanh(values.astype(np.float64) / 2))
    return found


def softmax(values: np.ndarray) -> np.ndarray:
    """Return the softmax along the last axis, in float64."""
    numbers = values.astype(np.float64)
    powers: np.ndarray = np.exp(numbers - numbers.max(axis=-1, keepdims=True))
    found: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return found


def grid(size: tuple[int, int], strides: tuple[int, ...], *, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the x, y of each cell in cells, and its stride, of all strides in turn: shapes (cells, 2) and (cells,).

    Args:
        size: height and width of the model's picture.
        offset: of a point in its cell.
    """
    points, steps = [], []
    for stride in strides:
        rows, columns = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.divmod(np.arange(rows * columns), columns)
        points.append(np.stack((x, y), axis=1) + offset)
        steps.append(np.full(rows * columns, float(stride)))
    return np.concatenate(points).astype(np.float64), np.concatenate(steps)

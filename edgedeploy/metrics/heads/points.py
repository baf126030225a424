"""One object of keypoints, where a model gives no box for it."""

from __future__ import annotations

import numpy as np

from edgedeploy.values.labels import Detections


def one_object(points: np.ndarray) -> Detections:
    """Return the object that points make: class 0, the box around them, the mean of their scores.

    Args:
        points: x, y, score; shape (points, 3). With one that is no number there is no object.
    """
    if not np.isfinite(points).all() or not len(points):
        empty = np.empty((0, 4))
        return Detections(
            boxes=empty, classes=np.empty(0, np.int64), scores=np.empty(0), keypoints=np.empty((0, len(points), 3))
        )
    box = np.concatenate((points[:, :2].min(axis=0), points[:, :2].max(axis=0)))
    score = float(np.clip(points[:, 2].mean(), 0.0, 1.0))
    return Detections(
        boxes=box[np.newaxis], classes=np.zeros(1, np.int64), scores=np.array([score]), keypoints=points[np.newaxis]
    )

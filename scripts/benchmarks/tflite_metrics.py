"""How good a TensorFlow Lite model of the benchmark is; each function gives the score of each sample of a batch."""

from __future__ import annotations

import numpy as np

_CLOSE = 0.02


def face_found(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """1 where a face detector is right about whether there is a face.

    Args:
        outputs: boxes, and the logit of each; a face is found when one is above 0.
        labels: (samples,), 1 where there is a face.
    """
    found = outputs[1].reshape(len(labels), -1).max(axis=1) > 0
    right: np.ndarray = (found == (labels > 0)).astype(np.float64)
    return right


def points_close(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Share of the coordinates that lie where the float model has them, to a fiftieth of the picture's side.

    Args:
        outputs: coordinates in pixels first.
        labels: (samples, coordinates): the float model's, and in the last column the picture's side.
    """
    points = outputs[0].reshape(len(labels), -1)
    distances = np.abs(points - labels[:, :-1]) / labels[:, -1:]
    shares: np.ndarray = (distances < _CLOSE).mean(axis=1)
    return shares

"""Metrics of masks of classes.

- `miou`: mean over the classes that labels or answers name of TP / (TP + FP + FN), over all pixels of all pictures
  (Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4, section 4.2).
- `dice`: the same with 2·TP / (2·TP + FP + FN) (Dice 1945, https://doi.org/10.2307/1932409), without class 0, which is
  the background.

Labels are whole numbers (samples, height, width), 255 is not judged. Answers are brought to their size: scores between
pixels before the largest is taken, classes by the nearest pixel. Without a head, the first output is read as the head
`segmentation` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.answers_metric import AnswersMetric, objects
from edgedeploy.metrics.metric import Metric
from edgedeploy.metrics.resize import bilinear, nearest
from edgedeploy.values.head import Head
from edgedeploy.values.labels import NOT_JUDGED, Labels

_NONE = 256
"""Stands for a pixel without an answer: its scores are no numbers."""


class MaskMetric(AnswersMetric):
    """Keeps of each picture, for each class in it: the class, its hits, its pixels in the label and in the answer."""

    def __init__(self, name: str, head: Head | None, outputs: Sequence[str]) -> None:
        super().__init__(name, head or Head(kind="segmentation"), outputs, usual="segmentation")

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        found = self.answers(outputs, feed, len(labels))
        return objects([self._of_picture(each, label) for each, label in zip(found, labels, strict=True)])

    def _of_picture(self, found: np.ndarray, label: np.ndarray) -> np.ndarray:
        label = np.asarray(label)
        if label.ndim != 2 or label.dtype.kind not in "iub":
            raise DatasetError(
                f"the metric {self.name} needs a mask of classes as label, and found {label.dtype} {label.shape}",
                hint="save labels as whole numbers, shape (samples, height, width); 255 is not judged",
            )
        answers = answered_mask(found, (label.shape[0], label.shape[1]))
        judged = label != NOT_JUDGED
        wanted, given = label[judged].astype(np.int64), answers[judged]
        if found.ndim == 3 and wanted.size and int(wanted.max()) >= found.shape[0]:
            raise DatasetError(
                f"a label is {int(wanted.max())}, expected 0 to {found.shape[0] - 1}, or 255 for what is not judged",
                why=f"the model tells {found.shape[0]} classes apart",
            )
        classes = np.unique(np.concatenate((wanted, given)))
        classes = classes[classes != _NONE]
        least = int(max(classes.max(initial=0), _NONE)) + 1
        right = np.bincount(wanted[wanted == given], minlength=least)[classes]
        labeled, answered = np.bincount(wanted, minlength=least)[classes], np.bincount(given, minlength=least)[classes]
        return np.stack((classes, right, labeled, answered), axis=1).astype(np.float64)

    def prepare(self, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = np.concatenate([np.empty((0, 4)), *statistics])
        owners = np.repeat(np.arange(len(statistics)), [len(each) for each in statistics])
        return rows, rows[:, 0].astype(np.int64), owners

    def value(self, prepared: tuple[np.ndarray, np.ndarray, np.ndarray], weights: np.ndarray) -> float:
        rows, classes, owners = prepared
        drawn = weights[owners]
        right, labeled, answered = (np.bincount(classes, drawn * rows[:, column]) for column in (1, 2, 3))
        both = labeled + answered
        present = both > 0
        if self.name == "dice" and present.size:
            present[0] = False
        if not present.any():
            return math.nan
        figures = right / np.maximum(both - right, 1) if self.name == "miou" else 2 * right / np.maximum(both, 1)
        return float(figures[present].mean())

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        """Return the metric of each picture by itself; 1 where nothing is labeled nor answered."""
        each = [self.value(self.prepare(objects([picture])), np.ones(1)) for picture in statistics]
        return np.array([1.0 if math.isnan(value) else value for value in each], np.float64)


def answered_mask(found: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the class of each pixel, in the wanted size: int64.

    Args:
        found: scores (classes, height, width), or classes (height, width). Where a score is NaN there is no answer.
    """
    if found.ndim == 2:
        return nearest(found, size).astype(np.int64)
    scores = bilinear(found, size)
    classes: np.ndarray = np.where(np.isnan(scores).any(axis=0), _NONE, np.argmax(scores, axis=0))
    return classes


def _make(name: str, head: Head | None, outputs: Sequence[str]) -> Metric:
    return MaskMetric(name, head, outputs)


BUILT_IN = dict.fromkeys(("miou", "dice"), _make)
"""How each of the metrics of this module is made, by its name."""

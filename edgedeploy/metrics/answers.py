"""Which outputs hold class scores, so that their largest element is an answer.

The shape does not tell: (batch, anchors, columns) of a detector, (batch, classes, height, width) of a segmentation and
(batch, features) of an embedding look like scores. An output is taken for class scores only if

- the task says so: it is the output that a built-in metric reads, because there are labels or the metric was named; or
- it plainly is: it has the shape (samples, classes) with at least two classes, axes of length 1 in between or behind
  aside, and each row is a probability distribution (no element under 0, the sum is 1) or the logarithm of one, for
  every sample.
"""

from __future__ import annotations

import numpy as np

SUM_TOLERANCE = 0.02
"""How far the sum of a distribution may lie from 1: scores that were stored in 8 bits are off by as much."""


class AnswerTally:
    """Counts for one output of a model the samples with the reference's answer: the place of the largest element, the
    first of equals. Where a step has an answer each, a sample counts as far as its steps agree."""

    def __init__(self) -> None:
        self._matches = 0.0
        self._samples = 0
        self._holds_scores: bool | None = None
        """None until some sample told."""

    def add(self, output: np.ndarray | None, reference: np.ndarray, samples: int, *, declared: bool) -> None:
        """Count the samples of one run.

        Args:
            output, reference: of one output of the model, in one shape; None: no sample of the run matches.
            samples: that the run held.
            declared: whether the task says that the output holds class scores, along its last axis.
        """
        if self._holds_scores is False:
            return
        scores = _along_last_axis(reference, samples, declared=declared)
        if scores is None:
            self._holds_scores = False
            return
        if not declared and not _are_distributions(scores):
            self._holds_scores = False
            return
        if declared or not np.isnan(scores).any(axis=-1).all():
            self._holds_scores = True
        self._samples += samples
        if output is not None:
            same = _same_top(output.reshape(scores.shape), scores).reshape(samples, -1)
            self._matches += float(same.mean(axis=1).sum())

    @property
    def match(self) -> float | None:
        """Share of the samples whose answer is the reference's; None when the output is not known to hold scores."""
        return self._matches / self._samples if self._holds_scores and self._samples else None


def _along_last_axis(reference: np.ndarray, samples: int, *, declared: bool) -> np.ndarray | None:
    """Return the reference with its classes along the last axis; None when it cannot hold scores."""
    if reference.dtype.kind != "f" or reference.ndim < 2 or reference.shape[0] != samples or not reference.size:
        return None
    if declared:
        return reference if reference.shape[-1] >= 2 else None
    extents = [extent for extent in reference.shape[1:] if extent != 1]
    return reference.reshape(samples, extents[0]) if len(extents) == 1 else None


def _are_distributions(scores: np.ndarray) -> bool:
    """Return whether each row is a distribution, or the logarithm of one. Rows with NaN tell nothing."""
    rows = scores[~np.isnan(scores).any(axis=1)].astype(np.float64)
    if (rows >= -SUM_TOLERANCE / 100).all():
        return bool((np.abs(rows.sum(axis=1) - 1.0) <= SUM_TOLERANCE).all())
    if (rows <= 0.0).all():
        return bool((np.abs(np.exp(rows).sum(axis=1) - 1.0) <= SUM_TOLERANCE).all())
    return False


def _same_top(output: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return for each vector along the last axis whether its largest element is the same; NaN matches nothing."""
    unusable = np.isnan(output).any(axis=-1) | np.isnan(reference).any(axis=-1)
    same: np.ndarray = (output.argmax(axis=-1) == reference.argmax(axis=-1)) & ~unusable
    return same

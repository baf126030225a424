"""Which classes are taken for which: a confusion matrix, counted as samples stream by."""

from __future__ import annotations

import numpy as np

from edgedeploy.values.quality import Confusion

_MOST_SHOWN = 12
_MOST_CLASSES = 2048
"""Whose matrix is counted: 32 MiB of int64. A picture of more says nothing, and a vocabulary has far more."""


class ConfusionAccumulator:
    """Counts of labels against answers. Memory grows with the square of the classes, up to `_MOST_CLASSES`."""

    def __init__(self) -> None:
        self._counts: np.ndarray | None = np.zeros((0, 1), np.int64)
        """Rows are labels, columns answers; the last column is for answers that are no class."""

    def add(self, labels: np.ndarray, found: np.ndarray) -> None:
        """Add classes of one batch.

        Args:
            labels: whole numbers from 0, of any shape.
            found: the answers, of the same shape; -1 where there is none.
        """
        if self._counts is None or labels.size == 0:
            return
        classes = max(self._counts.shape[0], int(max(labels.max(), found.max())) + 1)
        if classes > _MOST_CLASSES:
            self._counts = None
            return
        answers = np.where(found < 0, classes, found).astype(np.int64)
        flat = labels.astype(np.int64).ravel() * (classes + 1) + answers.ravel()
        counts = np.bincount(flat, minlength=classes * (classes + 1)).reshape(classes, classes + 1)
        before = self._counts.shape[0]
        counts[:before, :before] += self._counts[:, :before]
        counts[:before, -1] += self._counts[:, -1]
        self._counts = counts

    def figure(self) -> Confusion | None:
        """Return the matrix so far: of all classes that occur, or of those in most wrong answers beside the others."""
        if self._counts is None or not self._counts.any():
            return None
        square = self._counts[:, :-1]
        occurring = np.flatnonzero(self._counts.sum(axis=1) + square.sum(axis=0))
        shown = occurring
        if occurring.size > _MOST_SHOWN:
            right = square.diagonal()
            wrong = self._counts.sum(axis=1) + square.sum(axis=0) - 2 * right
            most = np.lexsort((occurring, -wrong[occurring]))[:_MOST_SHOWN]
            shown = np.sort(occurring[most])
        others = shown.size < occurring.size or bool(self._counts[:, -1].any())
        return Confusion(
            classes=tuple(shown.tolist()), counts=_lumped(self._counts, shown, others=others), others=others
        )


def _lumped(counts: np.ndarray, shown: np.ndarray, *, others: bool) -> tuple[tuple[int, ...], ...]:
    """Return rows and columns of the classes that are shown, and after them the sums of what is left where asked."""
    inner = counts[np.ix_(shown, shown)]
    if not others:
        return tuple(tuple(row) for row in inner.tolist())
    rest = np.setdiff1d(np.arange(counts.shape[0]), shown)
    further = np.append(rest, counts.shape[0])
    columns = np.hstack([inner, counts[np.ix_(shown, further)].sum(axis=1, keepdims=True)])
    last = np.append(counts[np.ix_(rest, shown)].sum(axis=0), counts[np.ix_(rest, further)].sum())
    return tuple(tuple(row) for row in np.vstack([columns, last]).tolist())

"""Whether a model still orders its samples as a reference does: for embeddings and numbers, where no label says more.

Of an embedding what counts is which samples lie near each other: Spearman's rank correlation between the cosines of all
pairs of samples, of the reference and of the other (Spearman 1904, https://doi.org/10.2307/1412159). Of a model with
one number for each sample it is that of the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST_RANK_CORRELATION = 0.9
"""Without labels. A choice, not a measurement: answers that have nothing to do with each other are at 0."""
_MOST_SAMPLES = 128
_FEWEST_SAMPLES = 8
_MOST_ELEMENTS = 2**16
"""Of one sample."""


class RankAgreement:
    """Keeps the first samples' answers, of the first output of floating type with an answer for each sample."""

    def __init__(self) -> None:
        self._found: list[np.ndarray] = []
        self._expected: list[np.ndarray] = []

    def add(self, outputs: Sequence[np.ndarray], reference_outputs: Sequence[np.ndarray], samples: int) -> None:
        """Add the outputs of one run, which held so many samples."""
        if len(self._found) >= _MOST_SAMPLES:
            return
        for output, expected in zip(outputs, reference_outputs, strict=True):
            if expected.dtype.kind == "f" and expected.shape[:1] == (samples,) and output.shape == expected.shape:
                if 0 < expected.size <= samples * _MOST_ELEMENTS:
                    self._found += list(output.reshape(samples, -1).astype(np.float64))
                    self._expected += list(expected.reshape(samples, -1).astype(np.float64))
                return

    def figure(self) -> float | None:
        """Return the rank correlation, in [-1, 1]; None of too few samples, of extents that differ, and of what has no
        order because all is equal in the reference."""
        if len(self._found) < _FEWEST_SAMPLES or len({each.size for each in self._expected}) != 1:
            return None
        found, expected = (_compared(np.stack(each)) for each in (self._found, self._expected))
        if not np.isfinite(expected).all() or np.ptp(expected) == 0:
            return None
        if not np.isfinite(found).all() or np.ptp(found) == 0:
            return 0.0
        return float(np.corrcoef(_ranks(found), _ranks(expected))[0, 1])


def _compared(answers: np.ndarray) -> np.ndarray:
    """Return the numbers whose order counts: one for each sample, or the cosine of each pair."""
    if answers.shape[1] == 1:
        return answers[:, 0]
    lengths = np.linalg.norm(answers, axis=1, keepdims=True)
    units = np.divide(answers, lengths, out=np.zeros_like(answers), where=lengths > 0)
    found: np.ndarray = (units @ units.T)[np.triu_indices(len(units), 1)]
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0; those of equals are their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    means = np.cumsum(count) - (count + 1) / 2
    found: np.ndarray = means[place]
    return found

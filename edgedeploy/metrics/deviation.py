"""What of a model's answers depends on its input: by how much they differ from their mean over samples."""

from __future__ import annotations

import numpy as np
from msgspec import structs

from edgedeploy.metrics.agreement import TOO_LARGE, sqnr_db_of
from edgedeploy.values.quality import SQNR_FLOOR_DB, Agreement

_FEWEST = 2
_MOST_ELEMENTS = 4 * 2**20
"""Of one sample: two arrays of as many float64 are kept."""
_LEAST_SHARE = 1e-3
"""Of the power of the reference: of samples that hardly differ, as the pictures of a camera that stands still, it is
not known what depends on the input. The boxes of a YOLOv8n have 1 %."""


class Deviation:
    """By how much the values of an output differ from their mean over samples, element by element: what of them depends
    on the input. Of a detector's boxes most is the place of the anchor, which is the same for every picture."""

    def __init__(self) -> None:
        self._samples = 0
        self._sum: np.ndarray | None = None
        self._squares: np.ndarray | None = None
        self._unusable = False

    def add(self, values: np.ndarray, samples: int) -> None:
        """Add a batch, samples along the first axis. What differs in extent, or takes too much memory, has none."""
        fits = values.size > 0 and values.shape[0] == samples and values[0].size <= _MOST_ELEMENTS
        if not fits or (self._sum is not None and self._sum.shape != values.shape[1:]):
            self._unusable, self._sum, self._squares = True, None, None
        if self._unusable:
            return
        each = values.astype(np.float64)
        each = np.where(np.abs(each) < TOO_LARGE, each, 0.0)
        total, squares = each.sum(axis=0), (each * each).sum(axis=0)
        self._sum = total if self._sum is None else self._sum + total
        self._squares = squares if self._squares is None else self._squares + squares
        self._samples += samples

    def power(self, axis: int | None = None) -> np.ndarray | None:
        """Return the sum of squares of the differences; None where it is not known, or of fewer than two samples.

        Args:
            axis: of an output, samples first, for one sum for each of its places; None: one over all.
        """
        if self._unusable or self._sum is None or self._squares is None or self._samples < _FEWEST:
            return None
        # From their own mean, samples differ least: no constant comes closer to them.
        power = np.maximum(self._squares - self._sum * self._sum / self._samples, 0.0)
        others = tuple(place for place in range(power.ndim) if axis is None or place != axis - 1)
        found: np.ndarray = power.sum(axis=others)
        return found


def with_deviation(agreement: Agreement, error_squares: float, deviation: float | None) -> Agreement:
    """Return an agreement with its SQNR against what depends on the input, where that is known.

    Args:
        error_squares: sum over all elements.
        deviation: sum of squares, as `Deviation.power` gives it; None if not known.
    """
    if not deviation or agreement.sqnr_db is None:
        return agreement
    if agreement.sqnr_db == SQNR_FLOOR_DB:
        return structs.replace(agreement, deviation_sqnr_db=SQNR_FLOOR_DB)
    found = sqnr_db_of(deviation, error_squares)
    if found is None or found < agreement.sqnr_db + 10 * np.log10(_LEAST_SHARE):
        return agreement
    return structs.replace(agreement, deviation_sqnr_db=found)

"""How far a model's outputs lie from a reference's, added up one batch at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedeploy.errors import DatasetError
from edgedeploy.values.quality import Agreement

Array = NDArray[Any]


class AgreementAccumulator:
    """Sums in float64 over all outputs of all samples added; memory does not grow.

    Top-1 match is over the first output whose reference is a floating array of shape (batch, classes) with at least two
    classes. Cosine and SQNR are those of all outputs laid end to end:
    cosine = Σ a·b / √(Σ a² · Σ b²), SQNR = 10·log10(Σ b² / Σ (a - b)²) dB, with a the outputs and b the reference
    (B. Widrow, I. Kollár, Quantization Noise, Cambridge 2008, section 1.3, takes the same ratio of powers).
    A NaN that the reference has not makes every figure NaN: damage is shown, not averaged away.
    """

    def __init__(self) -> None:
        self._samples = 0
        self._ranked = 0
        self._same = 0
        self._elements = 0
        self._max_abs_error = 0.0
        self._abs_error = 0.0
        self._squared_error = 0.0
        self._product = 0.0
        self._squared = 0.0
        self._reference_squared = 0.0

    def add(self, outputs: Sequence[Array], reference_outputs: Sequence[Array]) -> None:
        """Add one batch: the same number of arrays on both sides, of the same shapes.

        Raises:
            DatasetError: number or shapes of the outputs differ.
        """
        shapes, reference_shapes = [a.shape for a in outputs], [a.shape for a in reference_outputs]
        if shapes != reference_shapes:
            raise DatasetError(f"outputs have the shapes {shapes}, the reference's have {reference_shapes}")
        ranked = False
        for output, reference in zip(outputs, reference_outputs, strict=True):
            if not ranked and _is_scores(reference):
                self._same += int((output.argmax(axis=1) == reference.argmax(axis=1)).sum())
                self._ranked += len(reference)
                ranked = True
            a, b = output.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
            # Equal infinities and NaNs on both sides agree; their difference would be NaN.
            alike = (a == b) | (np.isnan(a) & np.isnan(b))
            a, b = np.where(alike & ~np.isfinite(a), 0.0, a), np.where(alike & ~np.isfinite(b), 0.0, b)
            error = a - b
            if error.size:
                self._max_abs_error = float(np.maximum(self._max_abs_error, np.abs(error).max()))
            self._elements += error.size
            self._abs_error += float(np.abs(error).sum())
            self._squared_error += float(error @ error)
            self._product += float(a @ b)
            self._squared += float(a @ a)
            self._reference_squared += float(b @ b)
        first = reference_outputs[0] if reference_outputs else None
        self._samples += len(first) if first is not None and first.ndim else 1

    def figure(self) -> Agreement:
        """The figures so far."""
        if self._squared_error == 0.0:
            sqnr_db = None
        elif math.isnan(self._squared_error):
            sqnr_db = math.nan
        elif self._reference_squared == 0.0:
            sqnr_db = -math.inf
        else:
            sqnr_db = 10.0 * math.log10(self._reference_squared / self._squared_error)
        norm = math.sqrt(self._squared) * math.sqrt(self._reference_squared)
        both_zero = self._squared == self._reference_squared == 0.0
        cosine = 1.0 if both_zero else self._product / norm if norm else 0.0
        return Agreement(
            samples=self._samples,
            top1_match=self._same / self._ranked if self._ranked else None,
            max_abs_error=self._max_abs_error,
            mean_abs_error=self._abs_error / self._elements if self._elements else 0.0,
            cosine=cosine if math.isnan(cosine) else max(-1.0, min(1.0, cosine)),
            sqnr_db=sqnr_db,
        )


def _is_scores(reference: Array) -> bool:
    return reference.ndim == 2 and reference.shape[1] >= 2 and np.issubdtype(reference.dtype, np.floating)

"""How far outputs lie from a reference's outputs for the same inputs, in bounded memory.

Errors, cosine and SQNR run over all elements of all outputs together, in float64. Signal to quantization noise ratio
as in Oppenheim and Schafer, Discrete-Time Signal Processing, 3rd edition, section 4.8.3:
10·log10(Σ reference² / Σ (output - reference)²). Text is the same or it is not: it has no error, and is counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.text import is_text
from edgedeploy.metrics.answers import AnswerTally
from edgedeploy.values.quality import SQNR_FLOOR_DB, Agreement

TOO_LARGE = 1e140
"""Elements from here on count as infinite: float64 holds the sum of as many squares of smaller ones as there can be.
Only outputs in float64 get there."""


class AgreementAccumulator:
    """Sums that grow with the samples seen; `figure` may be asked at any time."""

    def __init__(self) -> None:
        self._samples = 0
        self._answers: dict[int, AnswerTally] = {}
        self._elements = 0
        self._nonfinite = 0
        self._other_shapes = 0
        self._max_error = 0.0
        self._error_sum = 0.0
        self.error_squares = 0.0
        """Sum over all elements that are finite."""
        self._output_squares = 0.0
        self._reference_squares = 0.0
        self._products = 0.0
        self._texts = 0
        self._same_texts = 0

    def add(
        self,
        outputs: Sequence[np.ndarray],
        reference_outputs: Sequence[np.ndarray],
        *,
        samples: int | None = None,
        scored: int | None = None,
    ) -> None:
        """Add the outputs of one run.

        Answers are counted for outputs that hold class scores; `edgedeploy.metrics.answers` has the rule. Where an
        output has other extents than the reference's, no sample of the run matches and nothing else is compared.

        Args:
            samples: that the run held; by default as `samples_in` tells from the reference's outputs.
            scored: place of the output that the task says holds class scores; None when it says so of none.

        Raises:
            UnsupportedError: number, rank or kind of the outputs differ, or they are neither numbers nor text.
        """
        if len(outputs) != len(reference_outputs):
            raise UnsupportedError(f"{len(outputs)} outputs cannot be compared with {len(reference_outputs)}")
        samples = samples_in(reference_outputs) if samples is None else samples
        for index, (output, reference) in enumerate(zip(outputs, reference_outputs, strict=True)):
            _check_comparable(index, output, reference)
        same_shapes = all(map(_has_shape_of, outputs, reference_outputs))
        for index, (output, reference) in enumerate(zip(outputs, reference_outputs, strict=True)):
            if is_text(reference):
                self._texts += reference.size
                self._same_texts += int(np.count_nonzero(output == reference)) if same_shapes else 0
                continue
            if same_shapes:
                self._add_elements(output, reference)
            tally = self._answers.setdefault(index, AnswerTally())
            # A run with an output of another shape matches nowhere.
            tally.add(output if same_shapes else None, reference, samples, declared=index == scored)
        self._samples += samples
        if not same_shapes:
            self._other_shapes += samples

    def figure(self) -> Agreement:
        """Return the agreement over all that was added; of nothing it is perfect, over 0 samples."""
        cosine: float
        sqnr_db: float | None
        matches = [tally.match for tally in self._answers.values() if tally.match is not None]
        if self._nonfinite or (self._samples and self._other_shapes == self._samples):
            cosine, sqnr_db = 0.0, SQNR_FLOOR_DB
        else:
            cosine = cosine_of(self._products, self._output_squares, self._reference_squares, self.error_squares)
            sqnr_db = sqnr_db_of(self._reference_squares, self.error_squares)
        return Agreement(
            samples=self._samples,
            top1_match=sum(matches) / len(matches) if matches else None,
            max_abs_error=self._max_error,
            mean_abs_error=self._error_sum / self._elements if self._elements else 0.0,
            cosine=cosine,
            sqnr_db=sqnr_db,
            nonfinite_elements=self._nonfinite,
            other_shapes=self._other_shapes,
            text_match=self._same_texts / self._texts if self._texts else None,
        )

    def _add_elements(self, output: np.ndarray, reference: np.ndarray) -> None:
        found, expected = output.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
        sound = (np.abs(found) < TOO_LARGE) & (np.abs(expected) < TOO_LARGE)
        # Infinities that are meant (a mask of -inf before a softmax) agree when they are the same.
        self._nonfinite += int(np.count_nonzero(~sound & (found != expected)))
        if not sound.all():
            found, expected = found[sound], expected[sound]
        error = found - expected
        self._elements += error.size
        self._max_error = max(self._max_error, float(np.abs(error).max(initial=0.0)))
        self._error_sum += float(np.abs(error).sum())
        self.error_squares += float(error @ error)
        self._output_squares += float(found @ found)
        self._reference_squares += float(expected @ expected)
        self._products += float(found @ expected)


def cosine_of(products: float, squares: float, reference_squares: float, error_squares: float) -> float:
    """Return the cosine between outputs and their reference, from sums over all elements."""
    if not error_squares:
        return 1.0
    if not squares or not reference_squares:
        return 0.0
    return min(1.0, max(-1.0, products / (math.sqrt(squares) * math.sqrt(reference_squares))))


def sqnr_db_of(reference_squares: float, error_squares: float) -> float | None:
    """Return the signal to quantization noise ratio from sums over all elements; None without an error."""
    if not error_squares:
        return None
    if not reference_squares:
        return SQNR_FLOOR_DB
    return max(10.0 * (math.log10(reference_squares) - math.log10(error_squares)), SQNR_FLOOR_DB)


class OutputAgreements:
    """The agreement of each output by itself: a small one that is ruined does not show in a sum over all."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._agreements = tuple(AgreementAccumulator() for _ in names)

    def add(
        self, outputs: Sequence[np.ndarray], reference_outputs: Sequence[np.ndarray], *, scored: int | None = None
    ) -> None:
        """Add the outputs of one run, in the order of the names.

        Args:
            scored: as `AgreementAccumulator.add` takes it.

        Raises:
            UnsupportedError: as `AgreementAccumulator.add`.
        """
        samples = samples_in(reference_outputs)
        pairs = zip(self._agreements, outputs, reference_outputs, strict=True)
        for place, (agreement, output, reference) in enumerate(pairs):
            agreement.add([output], [reference], samples=samples, scored=0 if place == scored else None)

    def error_squares(self, name: str) -> float:
        """Return the sum over all elements of the output `name`."""
        return self._agreements[self._names.index(name)].error_squares

    def figures(self) -> dict[str, Agreement]:
        """Return the agreement of each output over all that was added, by its name."""
        return {name: agreement.figure() for name, agreement in zip(self._names, self._agreements, strict=True)}


def samples_in(outputs: Sequence[np.ndarray]) -> int:
    """Return how many samples a run held: the length of the outputs' first axes if all have one length, else 1."""
    lengths = {output.shape[0] for output in outputs if output.ndim}
    return lengths.pop() if len(lengths) == 1 else 1


def _check_comparable(index: int, output: np.ndarray, reference: np.ndarray) -> None:
    if output.ndim != reference.ndim:
        raise UnsupportedError(
            f"output {index} has shape {output.shape} where the reference has {reference.shape}",
            why="outputs are compared element by element",
        )
    if is_text(output) and is_text(reference):
        return
    if reference.dtype.kind not in "biuf" or output.dtype.kind not in "biuf":
        raise UnsupportedError(
            f"output {index} is of type {output.dtype} where the reference has {reference.dtype}",
            why="real numbers can be compared, and text with text",
        )


def _has_shape_of(output: np.ndarray, reference: np.ndarray) -> bool:
    return output.shape == reference.shape

"""Metrics of models that give numbers: values, series, vectors.

The output is the first of floating type that has as many elements for each sample as its label. Over all elements of
all samples together:

- `mae`: mean of |y − ŷ|. `rmse`: √ of the mean of (y − ŷ)². Smaller is better.
- `r2`: 1 − Σ (y − ŷ)² / Σ (y − ȳ)², at most 1 (Draper and Smith, Applied Regression Analysis, 1998, chapter 1).
- `cosine`: mean over samples of the cosine of the angle between output and label. Weak: see `docs/metrics.md`.

What is NaN or infinite counts as an error of 1e100: it is worse than any number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.metric import Metric, SampleMetric, ScoreMetric
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Labels

_NOT_FINITE = 1e100


class _ErrorMetric(SampleMetric):
    """Keeps of each sample: elements, Σ|e|, Σe², the mean of its labels, and Σ of their squares about that mean."""

    def __init__(self, name: str, figure: Callable[[np.ndarray, np.ndarray], float]) -> None:
        super().__init__(name)
        self._figure = figure

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        rows = []
        for found, wanted in pairs(self.name, outputs, labels):
            errors = finite_errors(found, wanted)
            mean = float(wanted.mean()) if wanted.size else 0.0
            spread = float(np.square(wanted - mean).sum())
            rows.append((errors.size, np.abs(errors).sum(), np.square(errors).sum(), mean, spread))
        return np.array(rows, np.float64).reshape(len(labels), 5)

    def value(self, prepared: np.ndarray, weights: np.ndarray) -> float:
        return self._figure(prepared, weights)

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        # Of rmse and r2 the root of a sample's mean squared error, of mae its mean error: larger is better.
        counts = np.maximum(statistics[:, 0], 1.0)
        if self.name == "mae":
            absolute: np.ndarray = -(statistics[:, 1] / counts)
            return absolute
        squared: np.ndarray = -np.sqrt(statistics[:, 2] / counts)
        return squared


def pairs(name: str, outputs: Sequence[np.ndarray], labels: Labels) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return what a model gives for each sample, and its label, in float64 and in the label's shape.

    Raises:
        DatasetError: no output has as many elements as the labels, or they are no numbers.
    """
    wanted = [np.asarray(label) for label in labels]
    if any(label.dtype.kind not in "biuf" for label in wanted):
        raise DatasetError(
            f"the metric {name} needs labels that are numbers", hint="save labels as an array of float32"
        )
    for output in outputs:
        is_per_sample = output.dtype.kind == "f" and output.ndim and output.shape[0] == len(wanted)
        if is_per_sample and all(each.size == label.size for each, label in zip(output, wanted, strict=True)):
            return [
                (each.astype(np.float64).reshape(label.shape), label.astype(np.float64))
                for each, label in zip(output, wanted, strict=True)
            ]
    shapes = ", ".join(f"{output.dtype} {output.shape}" for output in outputs)
    raise DatasetError(
        f"the metric {name} finds no output that the labels fit",
        why=f"a label has shape {wanted[0].shape if wanted else ()}; the model's outputs: {shapes}",
        hint="give labels in the shape of the model's output, samples along the first axis",
    )


def finite_errors(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return found − wanted; where that is not finite, a number that is worse than any other."""
    with np.errstate(invalid="ignore", over="ignore"):
        errors = found - wanted
    limited: np.ndarray = np.where(np.isfinite(errors), np.clip(errors, -_NOT_FINITE, _NOT_FINITE), _NOT_FINITE)
    return limited


def _mae(rows: np.ndarray, weights: np.ndarray) -> float:
    count = weights @ rows[:, 0]
    return float(weights @ rows[:, 1] / count) if count else math.nan


def _rmse(rows: np.ndarray, weights: np.ndarray) -> float:
    count = weights @ rows[:, 0]
    return math.sqrt(float(weights @ rows[:, 2] / count)) if count else math.nan


def _r2(rows: np.ndarray, weights: np.ndarray) -> float:
    counts, means = weights * rows[:, 0], rows[:, 3]
    if not counts.sum():
        return math.nan
    mean = float(counts @ means / counts.sum())
    total = float(weights @ rows[:, 4] + counts @ np.square(means - mean))
    return 1.0 - float(weights @ rows[:, 2]) / total if total else math.nan


class _CosineMetric(ScoreMetric):
    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        return np.array([_cosine(found, wanted) for found, wanted in pairs(self.name, outputs, labels)], np.float64)


def _cosine(found: np.ndarray, wanted: np.ndarray) -> float:
    lengths = float(np.linalg.norm(found) * np.linalg.norm(wanted))
    cosine = float(np.vdot(found, wanted)) / lengths if lengths else 0.0
    return max(-1.0, min(1.0, cosine)) if math.isfinite(cosine) else -1.0


_FIGURES = {"mae": _mae, "rmse": _rmse, "r2": _r2}


def _make(name: str, head: Head | None, outputs: Sequence[str]) -> Metric:
    return _CosineMetric(name) if name == "cosine" else _ErrorMetric(name, _FIGURES[name])


BUILT_IN = dict.fromkeys((*_FIGURES, "cosine"), _make)
"""How each of the metrics of this module is made, by its name."""

"""Metrics of classifiers: the class that an output of scores names, against the right one.

The scores are the first output of floating type with shape (batch, …, classes), axes of length 1 in between dropped;
labels are whole numbers in [0, classes), shape (batch,), or (batch, steps) when the scores are (batch, steps, classes).
Among equal scores the lower class comes first, as in `numpy.argmax`; scores with NaN are wrong.

- `top1`, `top5`: share of samples whose label is among the 1 or 5 largest scores; of steps, a sample scores the share.
  Labels that are text are held against the first output of text that has as many elements for each sample: `top1` only.
  Top-5 as in Russakovsky et al. 2015, https://arxiv.org/abs/1409.0575, section 4.1 (there as an error rate).
- `balanced-accuracy`: mean over the classes that labels name of the share of their labels that is answered rightly
  (Brodersen et al. 2010, https://doi.org/10.1109/ICPR.2010.764).
- `f1-binary` (of class 1, of two), `f1-macro` (mean over the classes that labels or answers name), `f1-micro` (over all
  together): 2·TP / (2·TP + FP + FN), 0 where that is 0/0 (van Rijsbergen, Information Retrieval, 1979, chapter 7).
  `f1` is `f1-binary` of two classes, and `f1-macro` of more.
- `auroc`: share of the pairs of a sample of a class and one of another that the scores put in the right order, ties
  half (Hanley and McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747); of more than two classes the mean over
  each against the rest, of their probabilities (softmax, unless rows are distributions).
- `average-precision`: Σ (R_n − R_(n−1))·P_n over the thresholds (as scikit-learn's `average_precision_score`, without
  interpolation); of more than two classes as `auroc`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.session import Feed
from edgedeploy.inference.text import is_text
from edgedeploy.metrics.answers import SUM_TOLERANCE
from edgedeploy.metrics.heads.boxes import softmax
from edgedeploy.metrics.metric import MeanMetric, Metric, SampleMetric
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Labels


def answered_classes(outputs: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return the class that each vector of scores names, as `top1` takes them.

    Args:
        outputs: of the model for one batch, in its order; the scores are among them.
        labels: shape (batch,) or (batch, steps).

    Returns:
        Whole numbers in the shape of the labels; -1 where scores are NaN.

    Raises:
        DatasetError: the outputs hold no scores that the labels fit.
    """
    scores = _scores(1, list(outputs), labels)
    found: np.ndarray = np.where(np.isnan(scores).any(axis=-1), -1, scores.argmax(axis=-1))
    return found


def scored_output(outputs: Sequence[np.ndarray]) -> int | None:
    """Return the place of the output that the built-in metrics read, None where there is none: the others they do not
    look at.
    """
    return next((place for place, output in enumerate(outputs) if _holds_scores(output)), None)


def _holds_scores(output: np.ndarray) -> bool:
    return output.dtype.kind == "f" and output.ndim >= 2 and output.shape[-1] >= 2


def _top(outputs: list[np.ndarray], labels: np.ndarray, *, k: int) -> np.ndarray:
    """Return for each sample the share of its labels that are among the k largest scores: float64, shape (batch,)."""
    answered = _answered_text(outputs, labels) if k == 1 else None
    if answered is not None:
        same: np.ndarray = (answered == labels).reshape(len(labels), -1).mean(axis=1)
        return same
    scores = _scores(k, outputs, labels)
    classes = scores.shape[-1]
    if labels.dtype.kind not in "iu":
        raise DatasetError(
            f"labels have dtype {labels.dtype}, expected whole numbers (the index of the right class)",
            hint="number the classes in the model's order, and save those numbers as labels"
            if labels.dtype.kind in "USO"
            else "save labels.astype(numpy.int64)",
        )
    _check_range(labels, classes)
    right = np.take_along_axis(scores, labels[..., np.newaxis].astype(np.int64), axis=-1)
    lower = np.arange(classes) < labels[..., np.newaxis]
    rank = np.count_nonzero((scores > right) | ((scores == right) & lower), axis=-1)
    hits = (rank < k) & ~np.isnan(scores).any(axis=-1)
    shares: np.ndarray = hits.reshape(len(labels), -1).mean(axis=1)
    return shares


def has_text_labels(labels: np.ndarray) -> bool:
    """Return whether labels are the texts of classes, and not their numbers."""
    return labels.dtype.kind in "UO"


def _answered_text(outputs: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray | None:
    """Return the output of text that labels of text are held against, in their shape; None where there is none."""
    if not has_text_labels(labels) or not labels.size:
        return None
    for output in outputs:
        if is_text(output) and output.ndim and output.shape[0] == len(labels) and output.size == labels.size:
            return output.reshape(labels.shape)
    return None


def _scores(k: int, outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return the output that holds scores, in the shape (*labels.shape, classes)."""
    for output in outputs:
        if _holds_scores(output):
            middle = tuple(axis for axis in range(1, output.ndim - 1) if output.shape[axis] == 1)
            scores = output if output.shape[:-1] == labels.shape else output.squeeze(axis=middle)
            if scores.shape[:-1] != labels.shape:
                raise DatasetError(
                    f"labels have shape {labels.shape}, the model's scores {output.shape}",
                    why=f"expected a label for each vector of scores: shape {output.shape[:-1]}",
                    hint=_reshaping(labels, output),
                )
            if scores.shape[-1] <= k > 1:
                raise DatasetError(
                    f"top{k} says nothing of {scores.shape[-1]} classes: it is always 1", hint="use top1"
                )
            return scores
    shapes = ", ".join(f"{output.dtype} {output.shape}" for output in outputs)
    raise DatasetError(
        f"top{k} needs an output of scores, shape (batch, classes) with at least two classes",
        why=f"the model's outputs: {shapes}",
        hint="name a function of your own as the metric: package.module:function",
    )


def _reshaping(labels: np.ndarray, scores: np.ndarray) -> str:
    """Return how to save labels whose form is a common one, but not the one that is taken; empty for others."""
    if labels.shape == scores.shape:
        return "one-hot labels, or probabilities: save labels.argmax(axis=-1)"
    if labels.shape == (*scores.shape[:-1], 1):
        return "a column of labels: save labels[..., 0]"
    return ""


class _AnswersMetric(SampleMetric):
    """Keeps of each step the label, the answer (-1: none), and how many classes there are."""

    def __init__(self, name: str, figure: Callable[[np.ndarray], float]) -> None:
        super().__init__(name)
        self._figure = figure

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        labels = _whole(self.name, labels)
        scores = _scores(1, outputs, labels)
        _check_range(labels, scores.shape[-1])
        classes = np.full(labels.shape, scores.shape[-1])
        found: np.ndarray = np.stack((labels, answered_classes(outputs, labels), classes), axis=-1).reshape(
            len(labels), -1, 3
        )
        return found.astype(np.int64)

    def prepare(self, statistics: np.ndarray) -> tuple[np.ndarray, int, int]:
        classes = int(statistics[..., 2].max(initial=1))
        # One more column for answers that are none.
        cells = statistics[..., 0] * (classes + 1) + np.where(statistics[..., 1] < 0, classes, statistics[..., 1])
        return cells.reshape(-1), statistics.shape[1], classes

    def value(self, prepared: tuple[np.ndarray, int, int], weights: np.ndarray) -> float:
        cells, steps, classes = prepared
        counts = np.bincount(cells, np.repeat(weights, steps), minlength=classes * (classes + 1))
        return self._figure(counts.reshape(classes, classes + 1))

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        right: np.ndarray = (statistics[..., 0] == statistics[..., 1]).mean(axis=1)
        return right

    def read_outputs(self, outputs: Sequence[np.ndarray]) -> tuple[int, ...] | None:
        return _read_scores(outputs)


class _TopMetric(MeanMetric):
    def read_outputs(self, outputs: Sequence[np.ndarray]) -> tuple[int, ...] | None:
        return _read_scores(outputs)


def _read_scores(outputs: Sequence[np.ndarray]) -> tuple[int, ...]:
    place = scored_output(outputs)
    return () if place is None else (place,)


def _whole(name: str, labels: Labels) -> np.ndarray:
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iub":
        kind = labels.dtype if isinstance(labels, np.ndarray) else "a list of objects"
        raise DatasetError(
            f"labels are {kind}, and the metric {name} expects whole numbers (the index of the right class)",
            hint="number the classes in the model's order, and save those numbers as labels",
        )
    return labels.astype(np.int64)


def _check_range(labels: np.ndarray, classes: int) -> None:
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
        raise DatasetError(
            f"a label is {outside[0]}, expected 0 to {classes - 1}",
            why=f"the model tells {classes} classes apart",
        )


def _balanced_accuracy(counts: np.ndarray) -> float:
    labels = counts.sum(axis=1)
    present = labels > 0
    return float((np.diagonal(counts)[present] / labels[present]).mean()) if present.any() else math.nan


def _f1_of_classes(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return F1 of each class, and which classes labels or answers name."""
    right, labels, answers = np.diagonal(counts), counts.sum(axis=1), counts[:, :-1].sum(axis=0)
    present = labels + answers > 0
    return 2 * right / np.where(present, labels + answers, 1.0), present


def _f1_macro(counts: np.ndarray) -> float:
    each, present = _f1_of_classes(counts)
    return float(each[present].mean()) if present.any() else math.nan


def _f1_micro(counts: np.ndarray) -> float:
    labels, answers = counts.sum(), counts[:, :-1].sum()
    return float(2 * np.trace(counts) / (labels + answers)) if labels + answers else math.nan


def _f1_binary(counts: np.ndarray) -> float:
    if len(counts) != 2:
        raise DatasetError(
            f"f1-binary is for two classes, and the model tells {len(counts)} apart",
            hint="choose f1-macro (each class counts the same) or f1-micro (each sample does)",
        )
    each, _ = _f1_of_classes(counts)
    return float(each[1])


def _f1(counts: np.ndarray) -> float:
    return _f1_binary(counts) if len(counts) == 2 else _f1_macro(counts)


class _RankingMetric(SampleMetric):
    """Keeps of each sample the label and its scores: one for two classes, else one for each class."""

    def __init__(self, name: str, figure: Callable[[np.ndarray, np.ndarray, np.ndarray], float]) -> None:
        super().__init__(name)
        self._figure = figure

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        labels = _whole(self.name, labels)
        rows = _rows(self.name, outputs, labels)
        if rows.shape[1] > _MOST_RANKED:
            raise DatasetError(
                f"{self.name} over {rows.shape[1]} classes is not computed: all their scores would be kept",
                hint=f"choose top1, balanced-accuracy or f1-macro; {self.name} takes up to {_MOST_RANKED} classes",
            )
        _check_range(labels, max(2, rows.shape[1]))
        if rows.shape[1] == 2:
            # Of logits and of probabilities alike, the difference puts samples in the order of the second class.
            rows = rows[:, 1:] - rows[:, :1]
        elif rows.shape[1] > 2:
            rows = _probabilities(rows)
        rows = np.where(np.isnan(rows), -math.inf, rows)
        return np.concatenate((labels.reshape(-1, 1).astype(np.float64), rows), axis=1)

    def prepare(self, statistics: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        labels, columns = statistics[:, 0].astype(np.int64), statistics[:, 1:].T
        positives = [labels == 1] if len(columns) == 1 else [labels == place for place in range(len(columns))]
        prepared = []
        for positive, column in zip(positives, columns, strict=True):
            order = np.argsort(-column, kind="stable")
            ends = np.append(np.flatnonzero(np.diff(column[order])), len(column) - 1)
            prepared.append((order, ends, positive[order]))
        return prepared

    def value(self, prepared: list[tuple[np.ndarray, np.ndarray, np.ndarray]], weights: np.ndarray) -> float:
        figures = []
        for order, ends, positive in prepared:
            drawn = weights[order]
            hits, misses = np.cumsum(drawn * positive)[ends], np.cumsum(drawn * ~positive)[ends]
            figures.append(self._figure(hits, misses, drawn) if hits[-1] and misses[-1] else math.nan)
        return float(np.mean(figures))

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        labels, columns = statistics[:, 0].astype(np.int64), statistics[:, 1:]
        if columns.shape[1] == 1:
            signed: np.ndarray = np.where(labels == 1, columns[:, 0], -columns[:, 0])
            return _finite(signed)
        right: np.ndarray = np.take_along_axis(columns, labels[:, np.newaxis], axis=1)[:, 0]
        return _finite(right)

    def read_outputs(self, outputs: Sequence[np.ndarray]) -> tuple[int, ...] | None:
        return _read_scores(outputs) or None


_MOST_RANKED = 100


def _finite(scores: np.ndarray) -> np.ndarray:
    limited: np.ndarray = np.clip(scores, -1e300, 1e300)
    return limited


def _rows(name: str, outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return the scores, shape (samples, classes) or, of a model with a single score, (samples, 1)."""
    if labels.ndim != 1:
        raise DatasetError(f"labels have shape {labels.shape}; {name} takes one for each sample")
    if scored_output(outputs) is not None:
        return _scores(1, outputs, labels).astype(np.float64)
    for output in outputs:
        if output.dtype.kind == "f" and output.size == len(labels):
            return output.reshape(-1, 1).astype(np.float64)
    shapes = ", ".join(f"{output.dtype} {output.shape}" for output in outputs)
    raise DatasetError(
        f"{name} needs an output of scores, shape (batch, classes) or (batch, 1)",
        why=f"the model's outputs: {shapes}",
    )


def _probabilities(rows: np.ndarray) -> np.ndarray:
    """Return distributions as they are, and softmax of other rows."""
    sums = rows.sum(axis=1)
    if (rows >= 0).all() and (np.abs(sums - 1) <= SUM_TOLERANCE).all():
        return rows
    return softmax(rows)


def _auroc(hits: np.ndarray, misses: np.ndarray, drawn: np.ndarray) -> float:
    """Return the area under the curve of hits over misses, by trapezoids."""
    rises = np.concatenate(([0.0], hits))
    return float(
        np.sum(np.diff(np.concatenate(([0.0], misses))) * (rises[1:] + rises[:-1]) / 2) / hits[-1] / misses[-1]
    )


def _average_precision(hits: np.ndarray, misses: np.ndarray, drawn: np.ndarray) -> float:
    steps = np.diff(np.concatenate(([0.0], hits)))
    return float(np.sum(steps * hits / np.maximum(hits + misses, np.finfo(np.float64).tiny)) / hits[-1])


_FIGURES: dict[str, Callable[[np.ndarray], float]] = {
    "balanced-accuracy": _balanced_accuracy,
    "f1": _f1,
    "f1-binary": _f1_binary,
    "f1-macro": _f1_macro,
    "f1-micro": _f1_micro,
}
_CURVES = {"auroc": _auroc, "average-precision": _average_precision}
_MOST_OF_TOP = {"top1": 1, "top5": 5}


def _make(name: str, head: Head | None, outputs: Sequence[str]) -> Metric:
    if name in _MOST_OF_TOP:
        return _TopMetric(name, functools.partial(_top, k=_MOST_OF_TOP[name]))
    return _AnswersMetric(name, _FIGURES[name]) if name in _FIGURES else _RankingMetric(name, _CURVES[name])


BUILT_IN = dict.fromkeys((*_MOST_OF_TOP, *_FIGURES, *_CURVES), _make)
"""How each of the metrics of this module is made, by its name."""

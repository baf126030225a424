"""Metrics over labelled samples, added up one batch at a time."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgedeploy.errors import DatasetError, UnknownNameError
from edgedeploy.values.quality import MetricFigure

Array = NDArray[Any]
Score = Callable[[Sequence[Array], Array], Array]
"""Outputs and labels (batch,) to a score for each sample (batch,); larger is better."""


class Metric:
    """A metric by its name; `start` gives a fresh accumulator."""

    def __init__(self, name: str, score: Score) -> None:
        self.name = name
        self._score = score

    def start(self) -> MetricAccumulator:
        return MetricAccumulator(self.name, self._score)


class MetricAccumulator:
    """The mean of a score over all samples added. Holds two numbers, whatever the number of samples."""

    def __init__(self, name: str, score: Score) -> None:
        self._name = name
        self._score = score
        self._sum = 0.0
        self._samples = 0

    def add(self, outputs: Sequence[Array], labels: Array | None) -> None:
        """Add a batch: outputs with the batch as first axis, labels of shape (batch,).

        Raises:
            DatasetError: there are no labels, or outputs, labels and the metric do not fit together.
        """
        if labels is None:
            raise DatasetError(f"metric {self._name!r} needs labels", mend="add an array `labels` to the dataset")
        try:
            scores = np.asarray(self._score(outputs, labels), dtype=np.float64)
        except DatasetError:
            raise
        except Exception as error:
            raise DatasetError(
                f"metric {self._name!r} fails on outputs of shapes {[np.shape(o) for o in outputs]}",
                why=f"{type(error).__name__}: {error}",
            ) from error
        if scores.shape != (len(labels),):
            raise DatasetError(
                f"metric {self._name!r} gave an array of shape {scores.shape} for {len(labels)} samples",
                mend="return one score for each sample",
            )
        self._sum += float(scores.sum())
        self._samples += len(labels)

    def figure(self) -> MetricFigure:
        """The mean so far; NaN when nothing was added."""
        mean = self._sum / self._samples if self._samples else float("nan")
        return MetricFigure(name=self._name, value=mean, samples=self._samples)


def find_metric(name: str) -> Metric:
    """The metric that `name` stands for: `top1`, `top5`, or `package.module:function` with the signature of `Score`.

    Raises:
        UnknownNameError: there is no such metric, or it cannot be imported.
    """
    if name in _BUILT_IN:
        return Metric(name, _BUILT_IN[name])
    module, colon, function = name.partition(":")
    if colon and module and function:
        try:
            score = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise UnknownNameError(
                f"metric {name!r} cannot be imported", why=str(error), mend="check PYTHONPATH and the spelling"
            ) from error
        if callable(score):
            return Metric(name, score)
    raise UnknownNameError(
        f"there is no metric {name!r}", why=f"known: {', '.join(_BUILT_IN)}", mend="or name a package.module:function"
    )


def _top_k(k: int) -> Score:
    def score(outputs: Sequence[Array], labels: Array) -> Array:
        scores = outputs[0]
        if scores.ndim != 2 or scores.shape[0] != len(labels):
            raise DatasetError(
                f"top{k} needs a first output of shape (batch, classes), and the model's has {scores.shape}",
                mend="choose another metric with --metric package.module:function",
            )
        if not (np.issubdtype(labels.dtype, np.integer) and labels.min() >= 0 and labels.max() < scores.shape[1]):
            raise DatasetError(
                f"top{k} needs integer labels from 0 to {scores.shape[1] - 1}",
                why=f"found {labels.dtype} from {labels.min()} to {labels.max()}",
            )
        # Rank by value, ties to the lower class, as argmax does; NaN never counts as an answer.
        ranked = np.argsort(-np.nan_to_num(scores.astype(np.float64), nan=-np.inf), axis=1, kind="stable")[:, :k]
        right: Array = (ranked == labels[:, None]).any(axis=1) & ~np.isnan(scores).any(axis=1)
        return right

    return score


_BUILT_IN: dict[str, Score] = {"top1": _top_k(1), "top5": _top_k(5)}

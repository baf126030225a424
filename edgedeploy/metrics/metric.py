"""What a metric is: statistics of each sample as it streams by, and one figure computed from those of all.

A metric need not be a mean over samples: average precision, F1 and word error rate are not. What it has in common with
one is that it can be computed again from what is kept of each sample, with each sample counted as often as it was drawn
(`compute(weights)`), which is all that the bootstrap needs.
"""

from __future__ import annotations

import functools
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgedeploy.foundation.callables import described
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.inference.session import Feed
from edgedeploy.values.labels import Labels
from edgedeploy.values.metric_facts import metric_facts
from edgedeploy.values.quality import MetricFigure

_log = logging.getLogger(__name__)


Scorer = Callable[..., Any]
"""Gives the score of each sample of a batch, shape (samples,), from outputs and labels, or from those and inputs."""


class MetricAccumulator(ABC):
    """One computation of a metric, over the samples that were added."""

    is_mean = False
    """Whether the figure is the mean of `scores()`."""

    def __init__(self, name: str, *, larger_is_better: bool) -> None:
        self.name = name
        self.larger_is_better = larger_is_better
        self.samples = 0

    def add(self, outputs: Sequence[np.ndarray], labels: Labels | None, feed: Feed | None = None) -> None:
        """Add one batch.

        Args:
            outputs: of the model, in its order.
            labels: an entry for each sample.
            feed: what the model was given, for metrics that look at it.

        Raises:
            DatasetError: there are no labels, or the metric cannot be computed from them and the outputs.
        """
        if labels is None:
            raise DatasetError(
                f"the metric {self.name} needs labels, and the dataset has none", hint="add an array 'labels'"
            )
        self._add(list(outputs), labels, feed)
        self.samples += len(labels)

    @abstractmethod
    def _add(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> None:
        """Keep what the figure needs of one batch."""

    @abstractmethod
    def compute(self, weights: np.ndarray | None = None) -> float:
        """Return the metric over all samples.

        Args:
            weights: how often each sample counts, shape (samples,), in the order in which they were added; None: once.

        Returns:
            NaN where it has no value over these samples, e.g. the area under a curve of one class.
        """

    @property
    def numbers(self) -> int:
        """How many numbers it computes with: what one computation costs goes with it."""
        return self.samples

    def scores(self) -> np.ndarray | None:
        """Return how well each sample is answered, larger is better: float64, shape (samples,); None where the metric
        has no view of one sample."""
        return None

    def changed(self, other: MetricAccumulator) -> np.ndarray | None:
        """Return for each sample whether `other`, of the same metric over the same samples, has something else of it:
        bool, shape (samples,); None where that is not known."""
        mine, others = self.scores(), other.scores()
        return None if mine is None or others is None else mine != others

    def figure(self) -> MetricFigure:
        """Return the metric over all samples.

        Raises:
            DatasetError: no sample was added, or the metric has no value over those that were.
        """
        if not self.samples:
            raise DatasetError(f"the metric {self.name} has no samples to be computed over")
        value = self.compute()
        if not math.isfinite(value):
            raise DatasetError(
                f"the metric {self.name} has no finite value over these {self.samples:,} samples",
                why=f"it is {value}",
                hint="check the labels: where all are of one class, or none names anything, nothing can be compared",
            )
        return MetricFigure(name=self.name, value=value, samples=self.samples, larger_is_better=self.larger_is_better)


class Metric(ABC):
    """A metric by name; `start` begins a computation of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        facts = metric_facts(name)
        self.larger_is_better = facts is None or facts.larger_is_better

    @abstractmethod
    def start(self) -> MetricAccumulator:
        """Start a new computation, over no samples yet."""

    def read_outputs(self, outputs: Sequence[np.ndarray]) -> tuple[int, ...] | None:
        """Return the places of the outputs that the metric looks at; None where it is given all."""
        return None


class SampleMetric(Metric):
    """A metric that keeps an array of statistics, samples along the first axis: numbers, or objects where what is kept
    of a sample differs in extent."""

    is_mean = False
    """Whether the statistics are scores, shape (samples,), and the metric is their mean."""

    @abstractmethod
    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        """Return what is kept of each sample of a batch.

        Raises:
            DatasetError: the labels do not fit the outputs.
        """

    def prepare(self, statistics: np.ndarray) -> Any:
        """Return the statistics of all samples in the form that `value` takes: what does not depend on the weights
        is done once."""
        return statistics

    @abstractmethod
    def value(self, prepared: Any, weights: np.ndarray) -> float:
        """Return the metric, each sample counted as often as `weights` (float64, shape (samples,)) says."""

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        """As `MetricAccumulator.scores`."""
        return None

    def start(self) -> StatisticsAccumulator:
        return StatisticsAccumulator(self)


class StatisticsAccumulator(MetricAccumulator):
    """The statistics of the samples seen so far, as a `SampleMetric` makes them."""

    def __init__(self, metric: SampleMetric) -> None:
        super().__init__(metric.name, larger_is_better=metric.larger_is_better)
        self.is_mean = metric.is_mean
        self._metric = metric
        self._parts: list[np.ndarray] = []
        self._prepared: Any = None
        self._scores: np.ndarray | None = None

    def _add(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> None:
        part = self._metric.statistics(outputs, labels, feed)
        if self._parts and part.shape[1:] != self._parts[0].shape[1:]:
            raise DatasetError(
                f"the metric {self.name} got samples with {part.shape[1:]} answers after some with "
                f"{self._parts[0].shape[1:]}",
                hint="give samples of one length, or labels as one array",
            )
        self._parts.append(part)
        self._prepared, self._scores = None, None

    def statistics(self) -> np.ndarray:
        """Return those of all samples, in the order in which they were added."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0] if self._parts else np.empty(0)

    @property
    def numbers(self) -> int:
        statistics = self.statistics()
        return sum(map(_size, statistics)) if statistics.dtype == object else int(statistics.size)

    def compute(self, weights: np.ndarray | None = None) -> float:
        if self._prepared is None:
            self._prepared = self._metric.prepare(self.statistics())
        counts = np.ones(self.samples) if weights is None else np.asarray(weights, np.float64)
        return float(self._metric.value(self._prepared, counts))

    def scores(self) -> np.ndarray | None:
        if self._scores is None:
            self._scores = self._metric.scores(self.statistics())
        return self._scores

    def changed(self, other: MetricAccumulator) -> np.ndarray | None:
        if not isinstance(other, StatisticsAccumulator):
            return super().changed(other)
        mine, others = self.statistics(), other.statistics()
        if mine.dtype == object:
            return np.array([not _same(left, right) for left, right in zip(mine, others, strict=True)], bool)
        different = (mine != others).reshape(len(mine), -1)
        return np.asarray(different.any(axis=1), bool)


class ScoreMetric(SampleMetric):
    """The mean of a score of each sample."""

    is_mean = True

    def value(self, prepared: Any, weights: np.ndarray) -> float:
        if (weights == 1).all():
            return float(prepared.mean())
        return float(prepared @ weights / weights.sum())

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        return statistics if self.larger_is_better else -statistics


class MeanMetric(ScoreMetric):
    """The mean of a score of each sample, from a function `(outputs, labels)` or `(outputs, labels, inputs)`."""

    def __init__(self, name: str, score: Scorer, *, takes_inputs: bool = False, larger_is_better: bool = True) -> None:
        super().__init__(name)
        if metric_facts(name) is None:
            self.larger_is_better = larger_is_better
        self._score = score
        self._takes_inputs = takes_inputs

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        arguments = (outputs, labels, feed) if self._takes_inputs else (outputs, labels)
        scores: np.ndarray = called(self.name, functools.partial(_as_numbers, self._score, arguments))
        if scores.shape != (len(labels),):
            raise DatasetError(
                f"the metric {self.name} returned shape {scores.shape}",
                why=f"expected a score for each of {len(labels)} samples: shape ({len(labels)},)",
            )
        if not np.isfinite(scores).all():
            raise DatasetError(f"the metric {self.name} returned a score that is not finite")
        return scores


def called(name: str, do: Callable[[], Any]) -> Any:
    """Call a user's own code, of the metric `name`.

    Raises:
        DatasetError: it fails.
    """
    try:
        return do()
    except EdgedeployError:
        raise
    except Exception as error:
        _log.debug("%s", name, exc_info=True)
        raise DatasetError(f"the metric {name} failed", why=described(error), hint="-vv shows the traceback") from error


def _as_numbers(score: Scorer, arguments: tuple[Any, ...]) -> np.ndarray:
    scores: np.ndarray = np.asarray(score(*arguments), dtype=np.float64)
    return scores


def _size(statistic: Any) -> int:
    return sum(map(_size, statistic)) if isinstance(statistic, tuple) else int(np.size(statistic))


def _same(left: Any, right: Any) -> bool:
    """Return whether two statistics are the same: arrays, or tuples of them."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(np.array_equal(left, right))

"""What a metric is: scores of samples as they stream by, and their mean."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgedeploy.foundation.callables import described
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.values.labels import Labels
from edgedeploy.values.quality import MetricFigure

_log = logging.getLogger(__name__)


Scorer = Callable[[list[np.ndarray], Any], Any]
"""Gives the score of each sample of a batch, shape (samples,)."""


class MetricAccumulator:
    """The scores of the samples seen so far: 8 bytes for each."""

    def __init__(self, name: str, score: Scorer) -> None:
        self._name = name
        self._score = score
        self._scores: list[np.ndarray] = []

    def add(self, outputs: Sequence[np.ndarray], labels: Labels | None) -> None:
        """Add one batch.

        Args:
            outputs: of the model, in its order.
            labels: first axis: the samples.

        Raises:
            DatasetError: there are no labels, or the metric cannot be computed from them and the outputs.
        """
        if labels is None:
            raise DatasetError(
                f"the metric {self._name} needs labels, and the dataset has none", hint="add an array 'labels'"
            )
        try:
            scores = np.asarray(self._score(list(outputs), labels), dtype=np.float64)
        except EdgedeployError:
            raise
        except Exception as error:
            # Only a user's own function comes here: what it raises is theirs to read.
            _log.debug("%s", self._name, exc_info=True)
            raise DatasetError(
                f"the metric {self._name} failed", why=described(error), hint="-vv shows the traceback"
            ) from error
        if scores.shape != (len(labels),):
            raise DatasetError(
                f"the metric {self._name} returned shape {scores.shape}",
                why=f"expected a score for each of {len(labels)} samples: shape ({len(labels)},)",
            )
        if not np.isfinite(scores).all():
            raise DatasetError(f"the metric {self._name} returned a score that is not finite")
        self._scores.append(scores)

    def figure(self) -> MetricFigure:
        """Return the mean over all samples.

        Raises:
            DatasetError: no sample was added.
        """
        scores = self.scores()
        if not scores.size:
            raise DatasetError(f"the metric {self._name} has no samples to be computed over")
        return MetricFigure(name=self._name, value=float(scores.mean()), samples=scores.size)

    def scores(self) -> np.ndarray:
        """Return the score of each sample, in the order they were added: float64, shape (samples,)."""
        return np.concatenate(self._scores) if self._scores else np.empty(0)


class Metric:
    """A metric by name; `start` begins a computation of its own."""

    def __init__(self, name: str, score: Scorer) -> None:
        self.name = name
        self._score = score

    def start(self) -> MetricAccumulator:
        """Start a new computation, over no samples yet."""
        return MetricAccumulator(self.name, self._score)

"""Metrics of the user's own, named as `package.module:name`.

Three forms:

- a function `(outputs, labels)`, or `(outputs, labels, inputs)`: returns a score for each sample; the metric is their
  mean.
- a class without arguments, or a function without arguments that returns an object: its `update(outputs, labels)`, or
  `update(outputs, labels, inputs)`, sees each batch once; `compute(weights=None)` returns the metric over all samples,
  each counted as often as `weights` says. `per_sample()`, where there is one, returns how well each sample is answered.

`larger_is_better = False` as an attribute of the function or class says that smaller is better.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.metric import MeanMetric, Metric, MetricAccumulator, called
from edgedeploy.values.labels import Labels

_WITH_INPUTS = 3


def own_metric(name: str, loaded: Callable[..., Any]) -> Metric:
    """Return the metric that a user's function, class or factory is.

    Raises:
        UnsupportedError: it is none of the forms above.
    """
    larger_is_better = bool(getattr(loaded, "larger_is_better", True))
    parameters = _positional(loaded)
    if inspect.isclass(loaded) or parameters == 0:
        return _FactoryMetric(name, loaded, larger_is_better=larger_is_better)
    return MeanMetric(name, loaded, takes_inputs=parameters == _WITH_INPUTS, larger_is_better=larger_is_better)


class _FactoryMetric(Metric):
    def __init__(self, name: str, make: Callable[[], Any], *, larger_is_better: bool) -> None:
        super().__init__(name)
        self.larger_is_better = larger_is_better
        self._make = make

    def start(self) -> MetricAccumulator:
        made = called(self.name, self._make)
        for method in ("update", "compute"):
            if not callable(getattr(made, method, None)):
                raise UnsupportedError(
                    f"the metric {self.name} has no method {method}",
                    why="a class needs update(outputs, labels) and compute(weights=None)",
                    hint="add it, or name a function that returns a score for each sample",
                )
        if "weights" not in inspect.signature(made.compute).parameters:
            raise UnsupportedError(
                f"the method compute of the metric {self.name} takes no argument weights",
                why="an interval of the metric's change needs it computed again, with each sample counted as often as "
                "weights says",
                hint="keep a statistic for each sample in update, and write compute(self, weights=None)",
            )
        return _OwnAccumulator(self.name, made, larger_is_better=self.larger_is_better)


class _OwnAccumulator(MetricAccumulator):
    """A user's own object, that keeps what it needs."""

    def __init__(self, name: str, made: Any, *, larger_is_better: bool) -> None:
        super().__init__(name, larger_is_better=larger_is_better)
        self._made = made
        self._takes_inputs = _positional(made.update) == _WITH_INPUTS

    def _add(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> None:
        arguments = (outputs, labels, feed) if self._takes_inputs else (outputs, labels)
        called(self.name, functools.partial(self._made.update, *arguments))

    def compute(self, weights: np.ndarray | None = None) -> float:
        return float(called(self.name, lambda: float(self._made.compute(weights=weights))))

    def scores(self) -> np.ndarray | None:
        if not callable(getattr(self._made, "per_sample", None)):
            return None
        found = np.asarray(called(self.name, self._made.per_sample), np.float64)
        if found.shape != (self.samples,):
            raise UnsupportedError(
                f"per_sample of the metric {self.name} returned shape {found.shape}",
                why=f"expected a number for each of {self.samples} samples: shape ({self.samples},)",
            )
        return found if self.larger_is_better else -found


def _positional(function: Callable[..., Any]) -> int:
    """Return how many arguments a function is to be given by place; 2 where its signature does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 2
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in kinds and each.default is inspect.Parameter.empty for each in parameters)

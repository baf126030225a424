"""Which of several guesses a model answers best with: they are tried on some of the labeled samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.session import Session
from edgedeploy.metrics.registry import chosen_metric
from edgedeploy.values.data import DataSource
from edgedeploy.values.metric_facts import is_share_metric
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.quality import MetricFigure
from edgedeploy.workflows.data_show.trial import score

Guessed = TypeVar("Guessed")
SHOWN = 4


class Tried(Struct, Generic[Guessed], frozen=True):
    """One guess and what it reached."""

    guess: Guessed
    name: str
    figure: MetricFigure | None
    """None where it cannot be."""
    why: str = ""
    """Why it cannot be, in the words of the error."""

    @property
    def rank(self) -> float:
        """Return what sorts the best first; of what cannot be, infinity."""
        if self.figure is None:
            return math.inf
        return -self.figure.value if self.figure.larger_is_better else self.figure.value


class Trials(Struct, frozen=True, kw_only=True):
    """Runs a model on samples of a dataset, as guessed."""

    session: Session
    facts: ModelFacts
    metric: str

    def figure(self, source: DataSource, samples: int) -> MetricFigure:
        """Return the metric over some samples.

        Raises:
            EdgedeployError: the data does not fit the model so, or the metric cannot be computed.
        """
        dataset = open_dataset(source, self.facts.inputs)
        outputs = [each.name for each in self.facts.outputs]
        metric = chosen_metric(self.metric, source.head, dataset, outputs)
        return score(self.session, dataset, metric, samples=samples)

    def of(
        self, guesses: Sequence[tuple[str, Guessed]], put: Callable[[Guessed], DataSource], samples: int
    ) -> list[Tried[Guessed]]:
        """Try guesses, each by its name; the best first, of equal ones the one that is named first.

        Args:
            put: makes the dataset with a guess in it.
        """
        tried = []
        for name, guess in guesses:
            try:
                tried.append(Tried(guess, name, self.figure(put(guess), samples)))
            except EdgedeployError as error:
                tried.append(Tried(guess, name, None, error.what))
        return sorted(tried, key=lambda each: each.rank)


def in_words(tried: Sequence[Tried[Guessed]]) -> str:
    """Return what was tried, the best first, e.g. `map over 32 samples is 0.52; with preset yolo 0.31`."""
    sound = [(each.name, each.figure) for each in tried if each.figure is not None]
    if not sound:
        return f"none could be tried: {tried[0].why}" if tried else "nothing fits"
    best = sound[0][1]
    said = f"{best.name} over {best.samples:,} samples is {best.value:.3g}"
    others = "; ".join(f"with {name} {figure.value:.3g}" for name, figure in sound[1:SHOWN])
    return said + (f"; {others}" if others else ", and nothing else could be tried" if len(tried) > 1 else "")


def is_chance(top1: MetricFigure | None, classes: int | None) -> bool:
    """Return whether guessing would be as good: within two standard deviations of a binomial distribution.

    Args:
        top1: of another metric, nothing is told.
        classes: that the model tells apart; None where that is not known, and then nothing is told.
    """
    if classes is None or top1 is None or top1.name != "top1":
        return False
    chance = 1.0 / classes
    return top1.value <= chance + 2.0 * math.sqrt(chance * (1.0 - chance) / top1.samples)


def is_close(figure: MetricFigure | None, best: MetricFigure | None) -> bool:
    """Return whether chance may be why one figure is below another: within two standard deviations of a share, and of
    other metrics within a tenth."""
    if figure is None or best is None:
        return False
    apart = abs(best.value - figure.value)
    if not is_share_metric(best.name):
        return apart <= _CLOSE * abs(best.value)
    return apart <= max(2.0 * math.sqrt(max(best.value * (1.0 - best.value), 0.0) / best.samples), 1.0 / best.samples)


_CLOSE = 0.1

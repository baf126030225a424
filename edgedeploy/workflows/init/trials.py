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
from edgedeploy.values.model import ModelFacts
from edgedeploy.workflows.data_show.trial import score

Guessed = TypeVar("Guessed")
SHOWN = 4


class Tried(Struct, Generic[Guessed], frozen=True):
    """One guess and what it reached; NaN where it cannot be."""

    guess: Guessed
    name: str
    figure: float
    why: str = ""
    """Why it cannot be, in the words of the error."""


class Trials(Struct, frozen=True, kw_only=True):
    """Runs a model on samples of a dataset, as guessed."""

    session: Session
    facts: ModelFacts
    metric: str

    def figure(self, source: DataSource, samples: int) -> float:
        """Return the metric over some samples.

        Raises:
            EdgedeployError: the data does not fit the model so, or the metric cannot be computed.
        """
        dataset = open_dataset(source, self.facts.inputs)
        outputs = [each.name for each in self.facts.outputs]
        metric = chosen_metric(self.metric, source.head, dataset, outputs)
        found = score(self.session, dataset, metric, samples=samples)
        return found if metric.larger_is_better else -found

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
                tried.append(Tried(guess, name, math.nan, str(error.what)))
        return sorted(tried, key=lambda each: -each.figure if math.isfinite(each.figure) else math.inf)


def in_words(metric: str, samples: int, tried: Sequence[Tried[Guessed]]) -> str:
    """Return what was tried, the best first, e.g. `map over 32 samples: 0.52; with preset yolo 0.31`."""
    sound = [each for each in tried if math.isfinite(each.figure)]
    if not sound:
        return f"none could be tried: {tried[0].why}" if tried else "nothing fits"
    others = "; ".join(f"with {each.name} {abs(each.figure):.3g}" for each in sound[1:SHOWN])
    said = f"{metric} over {samples} samples is {abs(sound[0].figure):.3g}"
    return said + (f"; {others}" if others else ", and nothing else could be tried" if len(tried) > 1 else "")


def is_chance(top1: float, samples: int, classes: int | None) -> bool:
    """Return whether guessing would be as good: within two standard deviations of a binomial distribution.

    Args:
        classes: that the model tells apart; None where that is not known, and then nothing is told.
    """
    if classes is None or not math.isfinite(top1):
        return False
    chance = 1.0 / classes
    return top1 <= chance + 2.0 * math.sqrt(chance * (1.0 - chance) / samples)

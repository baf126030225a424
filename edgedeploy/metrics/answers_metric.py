"""Metrics of answers that a head makes of a model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.heads.decoder import Decoder
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.metrics.metric import SampleMetric
from edgedeploy.values.head import Head


class AnswersMetric(SampleMetric):
    """Reads a model's outputs through a head."""

    def __init__(self, name: str, head: Head | None, outputs: Sequence[str], *, usual: str) -> None:
        """
        Args:
            usual: a kind of head that goes with the metric, for the error that none is given.

        Raises:
            UnsupportedError: there is no head.
            UnknownNameError: there is no such head.
        """
        super().__init__(name)
        if head is None:
            raise UnsupportedError(
                f"the metric {name} needs to know the model's head",
                why="what the outputs mean is declared, never guessed",
                hint=f'add --head {usual}, or to a contract [data.head] kind = "{usual}"; see docs/metrics.md',
            )
        self._decoder: Decoder = find_head(head, outputs)

    def answers(self, outputs: list[np.ndarray], feed: Feed | None, samples: int) -> tuple[Any, ...]:
        """As `Decoder.answers`."""
        return self._decoder.answers(outputs, feed, samples)

    def read_outputs(self, outputs: Sequence[np.ndarray]) -> tuple[int, ...] | None:
        return self._decoder.places(len(outputs))


def objects(items: Sequence[Any]) -> np.ndarray:
    """Return an array of objects, shape (items,), whatever their own shapes are."""
    found = np.empty(len(items), object)
    for place, item in enumerate(items):
        found[place] = item
    return found

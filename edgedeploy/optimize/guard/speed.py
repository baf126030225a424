"""How fast a result is beside its float model, in the currency that it is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgedeploy.inference.session import Feed
from edgedeploy.values.speed import SpeedFigure


class SpeedJudge(Protocol):
    """Compares two models in one currency. Keeps what it measured of the source, which is the same many times."""

    def compare(self, source: bytes, candidate: bytes, feeds: Sequence[Feed]) -> SpeedFigure:
        """Both models on the same feeds.

        Args:
            source, candidate: serialized models.
            feeds: one sample each; at least one.

        Raises:
            ResultFailedError: the candidate does not load or run where speed is judged.
            EdgedeployError: the source does not, or nothing can be judged there.
        """

"""What a search over recipes tried, and what came of it."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from edgedeploy.values.quality import MetricChange
from edgedeploy.values.speed import SpeedFigure

Objective = Literal["size", "speed", "balanced"]


class Trial(Struct, frozen=True, kw_only=True):
    """One way of optimizing the model, tried on the search's samples."""

    name: str
    """Says how it was made, e.g. `"int8 + 4 layers in float"`; unique in its search."""
    passes: tuple[dict[str, Any], ...]
    """As a recipe has them; the search's preparation comes before, its finish after."""
    refused: str | None = None
    """Why there is nothing to judge: a pass that it is for did not apply. Then the figures are None."""
    size_bytes: int | None = None
    metric: float | None = None
    change: MetricChange | None = None
    """Of the metric; None without labels."""
    top1_match: float | None = None
    sqnr_db: float | None = None
    """Of the output with most noise."""
    samples: int = 0
    """That it was judged on."""
    over_budget: str | None = None
    """Why it costs too much accuracy; None when it does not."""
    speed: SpeedFigure | None = None
    """None when it was not measured: the search measures what could still win."""
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """What it costs: how much worse the metric got; without labels the share of answers that changed; where no
        output is known to hold class scores, the power of the noise as a share of the signal's."""
        if self.change is not None:
            return self.change.loss
        if self.top1_match is not None:
            return 1.0 - self.top1_match
        return 0.0 if self.sqnr_db is None else min(1.0, float(10 ** (-self.sqnr_db / 10)))


class LayerDamage(Struct, frozen=True, kw_only=True):
    """What quantizing one layer alone does to the model's outputs."""

    layer: str
    """Name of its node's first output in the prepared graph."""
    operator: str
    sqnr_db: float | None
    """Of all outputs; None when they did not change at all."""


class Search(Struct, frozen=True, kw_only=True):
    """A search, as far as it got."""

    objective: Objective
    source_size_bytes: int
    trials: tuple[Trial, ...]
    front: tuple[str, ...]
    """Names of the trials that no other beats in size, loss and speed at once, smallest first."""
    layers: tuple[LayerDamage, ...]
    """The costliest first; empty when no layer had to be looked at."""
    chosen: str | None
    """Name of the trial whose result was accepted."""
    rejected: dict[str, str]
    """Trials that looked best in turn and did not hold on all of the data, and why."""
    ended: Literal["all tried", "time budget"]
    seconds: float

"""Two releases on one device, measured in turn."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from edgedeploy.values.contract import Outcome
from edgedeploy.values.ratio import RatioFigure


class Interleaved(Struct, frozen=True, kw_only=True):
    """What `bench --against` found. A pair is a run of one release and one of the other right after it, each in a fresh
    process; its figures are the medians of those runs."""

    device: str
    name: str
    before: str
    """ID of the release that the other is compared with."""
    after: str
    """ID of the release that is judged."""
    kind: Literal["counted", "device"]
    """Guest instructions of an inference on a counting board, or milliseconds of a device's clock."""
    pairs: tuple[tuple[float, float], ...]
    effect: RatioFigure
    """After / before, with a confidence interval; of fewer than six pairs, the least and the most that was seen."""
    threshold: float
    """The least relative growth that breaks, where the noise is not larger: 0.05 is 5 %."""
    verified: bool
    """A second series was measured, since the first one broke."""
    outcome: Outcome
    reason: str

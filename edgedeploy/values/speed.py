"""How fast a result is beside the float model it was made from."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class SpeedFigure(Struct, frozen=True, kw_only=True):
    """Two models compared in one currency, in one run."""

    currency: Literal["host time", "guest instructions", "device time"]
    """Processor time of one thread on this machine; instructions that an emulated board executed, which are work and
    not time; or the time of one thread by a device's own clock."""
    unit: Literal["ms", "instructions"]
    source: float
    """Of the float model, per inference, in `unit`: the median."""
    result: float
    """Of the result, likewise."""
    ratio: float
    """Result to float model; below 1 the result is faster."""
    low: float
    high: float
    """Bounds of the ratio's confidence interval."""
    slower: bool
    """Whether the result is slower by more than the currency's noise."""
    samples: int
    """Of each model."""
    where: str
    """Which machine ran them, e.g. `"this machine: x86-64 avx2 (no vnni), 1 thread"` or `"board:rpi4 (cortex-a72)"`."""
    limit: float | None = None
    """Ratio above which the whole interval has to lie for the result to be called slower; None in files from before it
    was recorded."""

"""How much worse a metric may get: in its own units, or as a part of what it was."""

from __future__ import annotations

import math

from msgspec import Struct

from edgedeploy.foundation.errors import UnsupportedError


class Drop(Struct, frozen=True):
    """A budget for a metric."""

    amount: float
    """At least 0. Where there are no labels, it is the share of answers that may change, relative or not."""
    relative: bool = False
    """Whether `amount` is a part of the metric that the float model has: 0.02 of an error of 5 is 0.1."""

    def of(self, before: float) -> float:
        """Return the budget in the metric's own units.

        Args:
            before: the float model's metric.
        """
        return self.amount * abs(before) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{self.amount * 100:.10g}%" if self.relative else f"{self.amount:g}"


def drop_of(stated: float | str | Drop) -> Drop:
    """Return the budget that a number or a text states: `0.01`, `"0.01"`, or `"2%"` of what the metric was.

    Raises:
        UnsupportedError: it is none, or under 0.
    """
    if isinstance(stated, Drop):
        drop = stated
    else:
        text = str(stated).strip()
        relative = text.endswith("%")
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            number = math.nan
        drop = Drop(number / 100 if relative else number, relative)
    if not (math.isfinite(drop.amount) and drop.amount >= 0):
        raise UnsupportedError(
            f"max_drop is {stated}; a number of at least 0, or a percentage such as 2%, is expected",
            why="a number is in the metric's own units; a percentage is of the float model's metric",
        )
    return drop

"""How many channels of each group go: those first whose loss does the least harm for what it saves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from edgedeploy.optimize.prune.channels.channel_groups import ChannelGroup
from edgedeploy.optimize.prune.channels.cost import Cost


class Estimate(Struct, frozen=True, kw_only=True, eq=False):
    """In which order a group's channels go, and what that is thought to cost."""

    order: np.ndarray
    """Roots; the first ones go first."""
    damage: np.ndarray
    """After each level, the group's levels one after the other; grows, begins with 0; float64, shape (levels + 1,)."""


def choose_levels(groups: Sequence[ChannelGroup], estimates: Sequence[Estimate], cost: Cost, share: float) -> list[int]:
    """Choose the level of each group at which `share` of the cost is gone, or as much of it as can be.

    Greedy on the lower convex hull of each group's damage: of all next steps, of whatever length, the one with the
    least damage per unit that is saved. What a step saves depends on the widths that are left on its layers' other
    sides.
    """
    levels = [0] * len(groups)
    removed = [0] * len(groups)
    goal = cost.total * (1.0 - share)
    cost_left = cost.of(removed)
    while cost_left > goal:
        best: tuple[float, int, int] | None = None
        for number, (group, estimate) in enumerate(zip(groups, estimates, strict=True)):
            for level in range(levels[number] + 1, len(estimate.damage)):
                saved = cost.saved(removed, number, group.removed_at(level))
                harm = float(estimate.damage[level] - estimate.damage[levels[number]])
                if saved <= 0:
                    continue
                # The last step need not go further than the goal.
                rate = max(harm, 0.0) / min(saved, cost_left - goal)
                if best is None or rate < best[0]:
                    best = (rate, number, level)
        if best is None:
            break
        _, number, level = best
        levels[number], removed[number] = level, groups[number].removed_at(level)
        cost_left = cost.of(removed)
    return levels

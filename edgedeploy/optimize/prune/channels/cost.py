"""What a model costs when some of its channels have gone, from the widths of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from edgedeploy.optimize.prune.channels.channel_groups import ChannelGroup
from edgedeploy.optimize.prune.channels.coupling import Coupling

Objective = Literal["macs", "bytes"]


class Cost:
    """MACs on the sample, or bytes of weights, of the layers; elementwise work is not counted (`model/macs.py`)."""

    def __init__(self, coupling: Coupling, groups: Sequence[ChannelGroup], objective: Objective) -> None:
        self._whole = [layer.macs if objective == "macs" else layer.weight_bytes for layer in coupling.layers]
        group_of = {int(root): number for number, group in enumerate(groups) for root in group.roots}
        self._groups = groups
        self._shares = [
            tuple(_shares(coupling, ids, group_of, groups) for ids in (layer.inputs, layer.outputs) if ids is not None)
            for layer in coupling.layers
        ]
        self._touched = [
            [place for place, shares in enumerate(self._shares) if any(number in share for share in shares)]
            for number in range(len(groups))
        ]

    @property
    def total(self) -> float:
        """Return the cost of all layers with nothing removed: MACs, or bytes."""
        return float(sum(self._whole))

    def of(self, removed: Sequence[int]) -> float:
        """Return the cost with so many channels of each group removed."""
        return sum(self._layer(place, removed) for place in range(len(self._whole)))

    def saved(self, removed: Sequence[int], number: int, count: int) -> float:
        """Return what is saved when group `number` loses `count` channels in all; `removed` is what each has lost."""
        changed = list(removed)
        changed[number] = count
        return sum(self._layer(place, removed) - self._layer(place, changed) for place in self._touched[number])

    def _layer(self, place: int, removed: Sequence[int]) -> float:
        cost = float(self._whole[place])
        for share in self._shares[place]:
            cost *= 1.0 - sum(part * removed[number] for number, part in share.items())
        return cost


def _shares(
    coupling: Coupling, ids: np.ndarray, group_of: dict[int, int], groups: Sequence[ChannelGroup]
) -> dict[int, float]:
    """By how much of its width a layer shrinks for one channel of each group."""
    counts: dict[int, int] = {}
    for root in coupling.sets.roots(ids).tolist():
        if (number := group_of.get(root)) is not None:
            counts[number] = counts.get(number, 0) + 1
    return {number: count / len(ids) / len(groups[number].roots) for number, count in counts.items()}

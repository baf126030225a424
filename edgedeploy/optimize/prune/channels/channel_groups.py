"""Channels that are alike: any of them can go instead of any other, and every layer gets narrower by as much."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct

from edgedeploy.optimize.prune.channels.coupling import Coupling
from edgedeploy.optimize.prune.channels.edits import Cut, Edit, Extent, GroupCount, Selection, SliceBounds, SplitSizes
from edgedeploy.optimize.prune.channels.walk import Layer


class ChannelGroup(Struct, frozen=True, kw_only=True, eq=False):
    """Sets of channels that occur in the same places of the graph, as often."""

    roots: np.ndarray
    """The sets, by the channel that stands for each; int64 ids, shape (channels,)."""
    quantum: int
    """So many go at once, so that each layer that gives them keeps a multiple of what was asked."""
    producers: tuple[int, ...]
    """Places in `Coupling.layers` of layers whose outputs they are."""
    consumers: tuple[int, ...]
    """And of those that sum over them."""

    def levels(self, at_most: float) -> int:
        """Return how many times channels can go; `at_most` is the share of them that may."""
        count = len(self.roots)
        return int(count * at_most + self._shift) // self.quantum if count > self.quantum else 0

    def removed_at(self, level: int) -> int:
        """Return how many channels have gone at a level: what is left is a multiple of the quantum."""
        return level * self.quantum - self._shift if level else 0

    @property
    def _shift(self) -> int:
        return -len(self.roots) % self.quantum


class Unprunable(Struct, frozen=True):
    """A layer that keeps its width, and why."""

    layer: str
    reason: str


def find_channel_groups(coupling: Coupling, multiple_of: int) -> tuple[list[ChannelGroup], list[Unprunable]]:
    """Find the groups whose channels may go, and the layers that none of them touches.

    Args:
        coupling: what the walk through the graph found.
        multiple_of: each layer that gives channels keeps a multiple of so many.
    """
    places: dict[int, list[tuple[int, int]]] = {}
    for site, ids in enumerate(_sites(coupling)):
        roots, counts = np.unique(coupling.sets.roots(ids), return_counts=True)
        for root, count in zip(roots.tolist(), counts.tolist(), strict=True):
            places.setdefault(root, []).append((site, count))
    alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for root, signature in places.items():
        if coupling.sets.reason(root) is None:
            alike.setdefault(tuple(signature), []).append(root)
    groups = [
        group
        for roots in alike.values()
        if (group := _channel_group(coupling, np.array(roots, dtype=np.int64), multiple_of)) is not None
    ]
    prunable = {layer for group in groups for layer in group.producers}
    left = [
        Unprunable(layer.name, _why(coupling, layer))
        for place, layer in enumerate(coupling.layers)
        if place not in prunable and layer.outputs is not None and layer.kind != "depthwise"
    ]
    return groups, left


def _channel_group(coupling: Coupling, roots: np.ndarray, multiple_of: int) -> ChannelGroup | None:
    copy_counts: list[int] = []
    producers: list[int] = []
    consumers: list[int] = []
    for place, layer in enumerate(coupling.layers):
        if layer.kind == "depthwise":
            continue
        if layer.outputs is not None and (copies := _count(coupling, layer.outputs, roots[0])):
            producers.append(place)
            copy_counts.append(copies)
        if layer.inputs is not None and _count(coupling, layer.inputs, roots[0]):
            consumers.append(place)
    if not producers:
        return None
    common = math.gcd(*copy_counts)
    quantum = multiple_of // math.gcd(multiple_of, common)
    return ChannelGroup(roots=np.sort(roots), quantum=quantum, producers=tuple(producers), consumers=tuple(consumers))


def _count(coupling: Coupling, ids: np.ndarray, root: int) -> int:
    return int((coupling.sets.roots(ids) == root).sum())


def _why(coupling: Coupling, layer: Layer) -> str:
    assert layer.outputs is not None
    reasons = (coupling.sets.reason(int(channel)) for channel in layer.outputs)
    return next((reason for reason in reasons if reason is not None), "nothing that can be cut reads them")


def _sites(coupling: Coupling) -> Iterator[np.ndarray]:
    """Every array of channels that something is counted or cut by."""
    for layer in coupling.layers:
        yield from (ids for ids in (layer.inputs, layer.outputs) if ids is not None)
    for edit in coupling.edits:
        yield from _ids_of(edit)


def _ids_of(edit: Edit) -> Sequence[np.ndarray]:
    match edit:
        case Cut(ids=ids) | GroupCount(ids=ids) | Extent(ids=ids):
            return (ids,)
        case Selection(ids=ids, indices=indices):
            return (ids, ids[indices])
        case SplitSizes(parts=parts):
            return parts
        case SliceBounds(before=before, inside=inside):
            return (before, inside)

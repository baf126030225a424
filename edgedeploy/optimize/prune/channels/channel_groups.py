"""Channels that are alike: any of them can go instead of any other, and every layer gets narrower by as much."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct

from edgedeploy.optimize.prune.channels.coupling import Coupling
from edgedeploy.optimize.prune.channels.edits import Cut, Edit, Extent, GroupCount, Selection, SliceBounds, SplitSizes
from edgedeploy.optimize.prune.channels.walk import Layer


class Cell(Struct, frozen=True, kw_only=True, eq=False):
    """Sets of atoms that occur in the same places of the graph, as often."""

    roots: np.ndarray
    """The sets, by the atoms that stand for them; int64, shape (channels,)."""
    quantum: int
    """So many go at once, so that each layer that gives them keeps a multiple of what was asked."""
    producers: tuple[int, ...]
    """Places in `Coupling.layers` of layers whose outputs they are."""
    consumers: tuple[int, ...]
    """And of those that sum over them."""

    def levels(self, at_most: float) -> int:
        """How many times channels can go; `at_most` is the share of them that may."""
        count = len(self.roots)
        return int(count * at_most + self._shift) // self.quantum if count > self.quantum else 0

    def removed_at(self, level: int) -> int:
        """How many channels have gone at a level: what is left is a multiple of the quantum."""
        return level * self.quantum - self._shift if level else 0

    @property
    def _shift(self) -> int:
        return -len(self.roots) % self.quantum


class Unprunable(Struct, frozen=True):
    """A layer that keeps its width, and why."""

    layer: str
    reason: str


def find_cells(coupling: Coupling, multiple_of: int) -> tuple[list[Cell], list[Unprunable]]:
    """The cells whose channels may go, and the layers that none of them touches."""
    places: dict[int, list[tuple[int, int]]] = {}
    for site, atoms in enumerate(_sites(coupling)):
        roots, counts = np.unique(coupling.atoms.roots(atoms), return_counts=True)
        for root, count in zip(roots.tolist(), counts.tolist(), strict=True):
            places.setdefault(root, []).append((site, count))
    alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for root, signature in places.items():
        if coupling.atoms.reason(root) is None:
            alike.setdefault(tuple(signature), []).append(root)
    cells = [
        cell
        for roots in alike.values()
        if (cell := _cell(coupling, np.array(roots, dtype=np.int64), multiple_of)) is not None
    ]
    prunable = {layer for cell in cells for layer in cell.producers}
    left = [
        Unprunable(layer.name, _why(coupling, layer))
        for place, layer in enumerate(coupling.layers)
        if place not in prunable and layer.outputs is not None and layer.kind != "depthwise"
    ]
    return cells, left


def _cell(coupling: Coupling, roots: np.ndarray, multiple_of: int) -> Cell | None:
    times: list[int] = []
    producers: list[int] = []
    consumers: list[int] = []
    for place, layer in enumerate(coupling.layers):
        if layer.kind == "depthwise":
            continue
        if layer.outputs is not None and (many := _count(coupling, layer.outputs, roots[0])):
            producers.append(place)
            times.append(many)
        if layer.inputs is not None and _count(coupling, layer.inputs, roots[0]):
            consumers.append(place)
    if not producers:
        return None
    common = math.gcd(*times)
    quantum = multiple_of // math.gcd(multiple_of, common)
    return Cell(roots=np.sort(roots), quantum=quantum, producers=tuple(producers), consumers=tuple(consumers))


def _count(coupling: Coupling, atoms: np.ndarray, root: int) -> int:
    return int((coupling.atoms.roots(atoms) == root).sum())


def _why(coupling: Coupling, layer: Layer) -> str:
    assert layer.outputs is not None
    reasons = (coupling.atoms.reason(int(atom)) for atom in layer.outputs)
    return next((reason for reason in reasons if reason is not None), "nothing that can be cut reads them")


def _sites(coupling: Coupling) -> Iterator[np.ndarray]:
    """Every list of atoms that something is counted or cut by."""
    for layer in coupling.layers:
        yield from (atoms for atoms in (layer.inputs, layer.outputs) if atoms is not None)
    for edit in coupling.edits:
        yield from _atoms_of(edit)


def _atoms_of(edit: Edit) -> Sequence[np.ndarray]:
    match edit:
        case Cut(atoms=atoms) | GroupCount(atoms=atoms) | Extent(atoms=atoms):
            return (atoms,)
        case Selection(atoms=atoms, indices=indices):
            return (atoms, atoms[indices])
        case SplitSizes(parts=parts):
            return parts
        case SliceBounds(before=before, inside=inside):
            return (before, inside)

"""Which channels of a graph go together, which must stay and why, and what changes when some go.

The graph is walked once, in order. For each value the walk knows along which axis it has channels, and which atom each
place along that axis is. An operator that is not known here keeps the channels that come in, with its name as the
reason; so does the model's output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.edit import all_nodes
from edgedeploy.optimize.pruning.atoms import Atoms
from edgedeploy.optimize.pruning.edits import Edit

LayerKind = Literal["dense", "grouped", "depthwise"]


class Channels(Struct, frozen=True, eq=False):
    """Where a value has its channels."""

    axis: int
    atoms: np.ndarray
    """int64, shape (extent of the axis,)."""


class Layer(Struct, frozen=True, kw_only=True, eq=False):
    """A node that multiplies by constant weights."""

    node: int
    """Place in the main graph."""
    name: str
    """Of its first output."""
    operator: str
    kind: LayerKind
    inputs: np.ndarray | None
    """Atoms along the weight's input axis (of one group); None where the input's channels are not followed."""
    outputs: np.ndarray | None
    """Atoms along the output's channel axis."""
    input_axis: int
    """Of the weight; -1 for a depthwise convolution, whose weight has none."""
    output_axis: int
    macs: int
    """On the sample whose shapes were given."""
    weight_bytes: int


class Coupling(Struct, frozen=True, kw_only=True, eq=False):
    """What the walk found."""

    atoms: Atoms
    layers: tuple[Layer, ...]
    edits: tuple[Edit, ...]


class Walk:
    """The state of the walk, and what rules for operators use of it."""

    def __init__(self, model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.atoms = Atoms()
        self.layers: list[Layer] = []
        self.edits: list[Edit] = []
        self.index: dict[ir.Node, int] = {node: place for place, node in enumerate(model.graph)}
        self.model = model
        self._shapes = shapes
        self._channels: dict[ir.Value, Channels] = {}

    def channels(self, value: ir.Value | None) -> Channels | None:
        """Where the value has channels that are followed; None when it has none."""
        return None if value is None else self._channels.get(value)

    def give(self, value: ir.Value, axis: int, atoms: np.ndarray) -> None:
        """Note the channels of a value."""
        self._channels[value] = Channels(axis, atoms)

    def shape(self, value: ir.Value | None) -> tuple[int, ...] | None:
        """Extents on the sample; None when they are not known."""
        if value is None:
            return None
        if value.const_value is not None:
            return tuple(int(extent) for extent in value.const_value.shape.numpy())
        return self._shapes.get(value.name or "")

    def is_fixed(self, value: ir.Value, axis: int) -> bool:
        """Whether the model itself fixes this extent: another sample cannot have another one."""
        return value.shape is not None and isinstance(value.shape[axis], int)

    def keep(self, node: ir.Node, reason: str) -> None:
        """Keep all channels that come into the node; what it gives is not followed."""
        for value in node.inputs:
            if (channels := self.channels(value)) is not None:
                self.atoms.pin(channels.atoms, reason)


def find_coupling(model: ir.Model, shapes: Mapping[str, tuple[int, ...]], keep: Sequence[str] = ()) -> Coupling:
    """Walk the graph.

    Args:
        model: its nodes in an order in which they can run.
        shapes: extents of every value on a sample, by name.
        keep: names of layers (of their first outputs) whose output channels all stay.
    """
    # The rules import this module for its types.
    from edgedeploy.optimize.pruning.rules import apply_rule

    walk = Walk(model, shapes)
    captured = _captured(model)
    wanted = set(keep)
    for node in model.graph:
        first_layer = len(walk.layers)
        apply_rule(walk, node)
        for layer in walk.layers[first_layer:]:
            if layer.outputs is None:
                continue
            if layer.name in wanted:
                walk.atoms.pin(layer.outputs, "the settings keep it")
            elif layer.kind != "depthwise" and len(layer.outputs) == 1:
                walk.atoms.pin(layer.outputs, "a layer has a single channel")
        for value in node.outputs:
            channels = walk.channels(value)
            if channels is None:
                continue
            if value.is_graph_output():
                walk.atoms.pin(channels.atoms, "they are the model's output")
            if value in captured:
                walk.atoms.pin(channels.atoms, "a branch or loop reads them")
    return Coupling(atoms=walk.atoms, layers=tuple(walk.layers), edits=tuple(walk.edits))


def _captured(model: ir.Model) -> set[ir.Value]:
    """Values of the main graph that nodes in subgraphs read, or that subgraphs give as their own."""
    inner = {value for node in all_nodes(model) if node.graph is not model.graph for value in node.inputs if value}
    inner.update(value for graph in model.graphs() if graph is not model.graph for value in graph.outputs)
    return inner

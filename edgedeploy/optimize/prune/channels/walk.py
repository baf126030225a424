"""A walk through a graph that finds which channels are coupled: its state and its types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.prune.channels.channel_sets import ChannelSets
from edgedeploy.optimize.prune.channels.edits import Edit

LayerKind = Literal["dense", "grouped", "depthwise"]


class Channels(Struct, frozen=True, eq=False):
    """Where a value has its channels."""

    axis: int
    ids: np.ndarray
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
    """Channel ids along the weight's input axis (of one group); None where the input's channels are not followed."""
    outputs: np.ndarray | None
    """Channel ids along the output's channel axis."""
    input_axis: int
    """Of the weight; -1 for a depthwise convolution, whose weight has none."""
    output_axis: int
    macs: int
    """On the sample whose shapes were given."""
    weight_bytes: int


class Walk:
    """The state of the walk, and what rules for operators use of it."""

    def __init__(self, model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.sets = ChannelSets()
        self.layers: list[Layer] = []
        self.edits: list[Edit] = []
        self.index: dict[ir.Node, int] = {node: place for place, node in enumerate(model.graph)}
        self.model = model
        self._shapes = shapes
        self._channels: dict[ir.Value, Channels] = {}

    def channels(self, value: ir.Value | None) -> Channels | None:
        """Return where the value has channels that are followed; None when it has none."""
        return None if value is None else self._channels.get(value)

    def give(self, value: ir.Value, axis: int, ids: np.ndarray) -> None:
        """Note the channels of a value; `ids` has one for each place along the axis."""
        self._channels[value] = Channels(axis, ids)

    def shape(self, value: ir.Value | None) -> tuple[int, ...] | None:
        """Return the extents on the sample; None when they are not known."""
        if value is None:
            return None
        if value.const_value is not None:
            return tuple(int(extent) for extent in value.const_value.shape.numpy())
        return self._shapes.get(value.name or "")

    def is_fixed(self, value: ir.Value, axis: int) -> bool:
        """Tell whether the model itself fixes this extent, so that no sample can have another."""
        return value.shape is not None and isinstance(value.shape[axis], int)

    def keep(self, node: ir.Node, reason: str) -> None:
        """Keep all channels that come into the node; what it gives is not followed."""
        for value in node.inputs:
            if (channels := self.channels(value)) is not None:
                self.sets.pin(channels.ids, reason)

"""Operators that take values apart, join them, or give their parts another order."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.edit import constant, integer_attribute, integers_attribute
from edgedeploy.optimize.prune.channels.edits import Selection, SliceBounds, SplitSizes
from edgedeploy.optimize.prune.channels.rules.rule import UNKNOWN_SHAPE, RuleTable, cut, has_input, keep
from edgedeploy.optimize.prune.channels.walk import Walk


def _concat(walk: Walk, node: ir.Node) -> None:
    followed = [channels for value in node.inputs if (channels := walk.channels(value)) is not None]
    if not followed:
        return
    shapes = [shape for value in node.inputs if (shape := walk.shape(value)) is not None]
    if len(shapes) != len(node.inputs):
        keep(walk, node, "has an operand of unknown shape")
        return
    axis = integer_attribute(node, "axis", 0) % max(len(shapes[0]), 1)
    axes = {channels.axis for channels in followed}
    if axes == {axis}:
        extents = [shape[axis] for shape in shapes]
        walk.give(node.outputs[0], axis, np.concatenate(_joined_parts(walk, node, axis, extents)))
        return
    if len(axes) != 1 or len(followed) != len(node.inputs):
        keep(walk, node, "joins them with values whose channels must stay")
        return
    for channels in followed[1:]:
        walk.sets.unite(followed[0].ids, channels.ids)
    walk.give(node.outputs[0], followed[0].axis, followed[0].ids)


def _joined_parts(walk: Walk, node: ir.Node, axis: int, extents: list[int]) -> list[np.ndarray]:
    """The channels of each operand along the axis that they are joined along; those of operands that stay are new."""
    parts: list[np.ndarray] = []
    for position, (value, extent) in enumerate(zip(node.inputs, extents, strict=True)):
        channels = walk.channels(value)
        if channels is not None:
            parts.append(channels.ids)
            continue
        kept = walk.sets.fresh(extent)
        if constant(value) is not None and extent:
            cut(walk, node, position, axis, kept)
        walk.sets.pin(kept, "Concat puts values beside them whose channels must stay")
        parts.append(kept)
    return parts


def _split(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    if shape is None or integer_attribute(node, "axis", 0) % len(shape) != channels.axis:
        for value in node.outputs:
            walk.give(value, channels.axis, channels.ids)
        return
    sizes = [walk.shape(value) for value in node.outputs]
    if any(size is None for size in sizes) or (len(node.inputs) > 1 and constant(node.inputs[1]) is None):
        keep(walk, node, "has computed sizes")
        return
    extents = [size[channels.axis] for size in sizes if size is not None]
    if sum(extents) != len(channels.ids):
        keep(walk, node, "has parts of unknown size")
        return
    parts = np.split(channels.ids, np.cumsum(extents)[:-1])
    for value, part in zip(node.outputs, parts, strict=True):
        walk.give(value, channels.axis, part)
    walk.edits.append(SplitSizes(node=walk.index[node], parts=tuple(parts)))


class _Bounds(Struct, frozen=True, eq=False):
    """What is known of a Slice; None for an operand that is computed, or absent."""

    starts: np.ndarray | None
    ends: np.ndarray | None
    axes: np.ndarray | None
    steps: np.ndarray | None
    axes_are_computed: bool = False
    steps_are_computed: bool = False


def _bounds(node: ir.Node) -> _Bounds:
    """Read them from the operands, or, before opset 10, from the attributes."""
    if len(node.inputs) == 1:
        attributes = [integers_attribute(node, name) for name in ("starts", "ends", "axes")]
        starts, ends, axes = (None if values is None else np.array(values) for values in attributes)
        return _Bounds(starts, ends, axes, None)
    operands = [constant(value) for value in node.inputs[1:]]
    operands += [None] * (4 - len(operands))
    starts, ends, axes, steps = operands
    return _Bounds(
        starts,
        ends,
        axes,
        steps,
        axes_are_computed=has_input(node, 3) and axes is None,
        steps_are_computed=has_input(node, 4) and steps is None,
    )


def _slice(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    bounds = _bounds(node)
    if bounds.axes_are_computed or shape is None:
        keep(walk, node, "has computed axes" if len(node.inputs) > 1 else UNKNOWN_SHAPE)
        return
    count = walk.shape(node.inputs[1]) if len(node.inputs) > 1 else None
    entries = len(bounds.starts) if bounds.starts is not None else (count[0] if count else 0)
    axes = [
        int(axis) % len(shape) for axis in (range(entries) if bounds.axes is None else bounds.axes.ravel().tolist())
    ]
    if channels.axis not in axes:
        walk.give(node.outputs[0], channels.axis, channels.ids)
        return
    entry = axes.index(channels.axis)
    steps = bounds.steps_are_computed or (bounds.steps is not None and int(bounds.steps[entry]) != 1)
    if bounds.starts is None or bounds.ends is None or steps:
        keep(walk, node, "has computed bounds, or steps other than one")
        return
    begin, end, _ = slice(int(bounds.starts[entry]), int(bounds.ends[entry])).indices(len(channels.ids))
    inside = channels.ids[begin : max(begin, end)]
    walk.edits.append(SliceBounds(node=walk.index[node], entry=entry, before=channels.ids[:begin], inside=inside))
    walk.give(node.outputs[0], channels.axis, inside)


def _gather(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if walk.channels(node.inputs[1]) is not None:
        keep(walk, node, "takes them for indices")
        return
    if channels is None:
        return
    if shape is None:
        keep(walk, node, UNKNOWN_SHAPE)
        return
    axis = integer_attribute(node, "axis", 0) % len(shape)
    if axis == channels.axis:
        indices = constant(node.inputs[1])
        if indices is None or indices.ndim != 1:
            keep(walk, node, "chooses single ones")
            return
        positive = np.where(indices < 0, indices + len(channels.ids), indices)
        walk.edits.append(Selection(node=walk.index[node], indices=positive, ids=channels.ids))
        walk.give(node.outputs[0], axis, channels.ids[positive])
        return
    index_shape = walk.shape(node.inputs[1])
    if index_shape is None:
        keep(walk, node, "has indices of unknown shape")
        return
    # The axes of the indices take the place of the axis that is gathered along.
    shift = len(index_shape) - 1 if axis < channels.axis else 0
    walk.give(node.outputs[0], channels.axis + shift, channels.ids)


def _transpose(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    if shape is None:
        keep(walk, node, UNKNOWN_SHAPE)
        return
    order = integers_attribute(node, "perm") or tuple(range(len(shape)))[::-1]
    walk.give(node.outputs[0], order.index(channels.axis), channels.ids)


RULES: RuleTable = {
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Transpose": _transpose,
}

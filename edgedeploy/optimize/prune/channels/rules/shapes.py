"""Operators that read or change shapes: the number of channels may be written in constants, and counted elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import constant, integer_attribute
from edgedeploy.optimize.prune.channels.rules.rule import UNKNOWN_SHAPE, RuleTable, counted_element, keep
from edgedeploy.optimize.prune.channels.walk import Channels, Walk

Axes = tuple[int, ...]


def _shape(walk: Walk, node: ir.Node) -> None:
    """The number of channels must not be read: who knows what for."""
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    if shape is None:
        keep(walk, node, UNKNOWN_SHAPE)
        return
    start, end = integer_attribute(node, "start", 0), integer_attribute(node, "end", len(shape))
    axes = range(*slice(start, end).indices(len(shape)))
    if channels.axis in axes and _element_is_read(walk, node.outputs[0], channels.axis - axes.start):
        keep(walk, node, "tells how many there are")


def _element_is_read(walk: Walk, value: ir.Value, element: int) -> bool:
    """Whether anything but a choice of other elements reads this element of a vector."""
    if value.is_graph_output():
        return True
    size = (walk.shape(value) or (0,))[0]
    for use in value.uses():
        if use.node.op_type in ("Cast", "Identity"):
            if _element_is_read(walk, use.node.outputs[0], element):
                return True
        elif use.idx != 0 or _chooses(use.node, element, size) is not False:
            return True
    return False


def _chooses(node: ir.Node, element: int, size: int) -> bool | None:
    """Whether a Gather or Slice of a vector takes this element; None when it is not known."""
    if node.op_type == "Gather" and (indices := constant(node.inputs[1])) is not None:
        return element in np.where(indices < 0, indices + size, indices).ravel()
    if node.op_type == "Slice" and len(node.inputs) > 2:
        operands = [constant(value) for value in node.inputs[1:]]
        starts, ends = operands[:2]
        if starts is None or ends is None or any(operand is None for operand in operands):
            return None
        steps = operands[3] if len(operands) > 3 else None
        taken = slice(int(starts[0]), int(ends[0]), 1 if steps is None else int(steps[0]))
        return element in range(*taken.indices(size))
    return None


def _reshape(walk: Walk, node: ir.Node) -> None:
    """The axes of both sides are matched block by block."""
    source = node.inputs[0]
    channels, shape, result = walk.channels(source), walk.shape(source), walk.shape(node.outputs[0])
    if any(walk.channels(value) is not None for value in node.inputs[1:]):
        keep(walk, node, "takes them for a shape")
        return
    if channels is None or source is None:
        return
    if shape is None or result is None or len(channels.ids) < 2:
        keep(walk, node, "has a value of unknown shape, or a single channel")
        return
    block = matching_axes(shape, result, channels.axis)
    if block is None:
        keep(walk, node, "mixes them with other axes")
        return
    if any(not walk.is_fixed(source, axis) for axis in block[0] if axis != channels.axis):
        keep(walk, node, "joins them with an axis whose extent is not fixed")
        return
    reshaped = _reshaped(walk, channels, shape, result, block)
    if reshaped is None:
        keep(walk, node, "mixes them with other axes")
    elif node.op_type == "Reshape" and not _follow_target(walk, node, channels.axis, reshaped):
        keep(walk, node, "has a computed target")
    else:
        walk.give(node.outputs[0], reshaped.axis, reshaped.ids)


def _reshaped(
    walk: Walk, channels: Channels, shape: Sequence[int], result: Sequence[int], block: tuple[Axes, Axes]
) -> Channels | None:
    """Where the channels of a block of axes are in the result's block; None where they are not along one axis."""
    inside, outside = block
    wide = [axis for axis in outside if result[axis] > 1]
    if len(wide) == 1:
        # One axis of the result holds them, each as many times as the other axes of the block say.
        grid = channels.ids.reshape([-1 if axis == channels.axis else 1 for axis in inside])
        return Channels(wide[0], np.broadcast_to(grid, [shape[axis] for axis in inside]).ravel())
    if any(shape[axis] != 1 for axis in inside if axis != channels.axis):
        return None
    # They are spread over several axes: the longest one can be shortened, at the same place for all of the others.
    longest = max(wide, key=lambda axis: (result[axis], axis))
    spread = channels.ids.reshape([result[axis] for axis in outside])
    rows = np.moveaxis(spread, outside.index(longest), -1).reshape(-1, result[longest])
    for row in rows[1:]:
        walk.sets.unite(rows[0], row)
    return Channels(longest, np.asarray(rows[0]))


def _follow_target(walk: Walk, node: ir.Node, source_axis: int, reshaped: Channels) -> bool:
    """Let the target of a Reshape count what is left; return False when it is not known how."""
    edit = counted_element(walk, node, 1, reshaped.axis, reshaped.ids)
    if edit is None:
        return False
    holder = list(walk.index)[edit.node]
    target = constant(holder.inputs[edit.position])
    assert target is not None
    extent = int(target.ravel()[edit.element])
    if extent == 0:
        # «As in the input», by place.
        return reshaped.axis == source_axis and not integer_attribute(node, "allowzero", 0)
    if extent > 0:
        walk.edits.append(edit)
    return True


def matching_axes(shape: Sequence[int], result: Sequence[int], axis: int) -> tuple[Axes, Axes] | None:
    """Return the smallest run of axes around `axis`, and the run of the result's axes that hold the same elements.

    Args:
        shape: extents before.
        result: extents after.
        axis: of `shape`.

    Returns:
        None when there is no such run: extents do not divide each other, or only axes of one element are left over.
    """
    begin, other_begin = 0, 0
    while begin < len(shape) and other_begin < len(result):
        end, other_end = begin + 1, other_begin + 1
        size, other_size = shape[begin], result[other_begin]
        while size != other_size:
            if size < other_size and end < len(shape):
                size, end = size * shape[end], end + 1
            elif size > other_size and other_end < len(result):
                other_size, other_end = other_size * result[other_end], other_end + 1
            else:
                return None
        if begin <= axis < end:
            return tuple(range(begin, end)), tuple(range(other_begin, other_end))
        begin, other_begin = end, other_end
    return None


RULES: RuleTable = {
    "Shape": _shape,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
}

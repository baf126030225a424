"""Operators on the axes behind the channels: pooling, resizing, padding."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import constant, integers_attribute
from edgedeploy.optimize.prune.channels.rules.rule import (
    UNKNOWN_SHAPE,
    RuleTable,
    counted_element,
    has_input,
    is_read,
    keep,
)
from edgedeploy.optimize.prune.channels.walk import Walk


def _pool(walk: Walk, node: ir.Node) -> None:
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return
    if channels.axis != 1 or any(is_read(value) for value in node.outputs[1:]):
        keep(walk, node, "pools over them, or tells where its maxima are")
        return
    walk.give(node.outputs[0], 1, channels.ids)


def _resize(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.outputs[0])
    if channels is None:
        return
    if any(walk.channels(value) is not None for value in node.inputs[1:]) or shape is None:
        keep(walk, node, "takes them for a size")
        return
    if shape[channels.axis] != len(channels.ids) or "axes" in node.attributes:
        keep(walk, node, "resizes along them")
        return
    if node.op_type == "Resize" and has_input(node, 3):
        edit = counted_element(walk, node, 3, channels.axis, channels.ids)
        if edit is None:
            keep(walk, node, "has a computed size")
            return
        walk.edits.append(edit)
    walk.give(node.outputs[0], channels.axis, channels.ids)


def _pad(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    pads = constant(node.inputs[1]) if len(node.inputs) > 1 else np.array(integers_attribute(node, "pads") or ())
    axes = constant(node.inputs[3]) if has_input(node, 3) else None
    if pads is None or shape is None or (axes is None and has_input(node, 3)):
        keep(walk, node, "has computed pads" if walk.shape(node.outputs[0]) else UNKNOWN_SHAPE)
        return
    padded = [int(axis) % len(shape) for axis in axes] if axes is not None else list(range(len(shape)))
    before = after = 0
    if channels.axis in padded:
        entry = padded.index(channels.axis)
        before, after = int(pads[entry]), int(pads[entry + len(padded)])
    if min(before, after) < 0 or ((before or after) and not _pads_constants(node)):
        keep(walk, node, "repeats or crops them")
        return
    ends = [walk.sets.fresh(extent) for extent in (before, after)]
    for ids in ends:
        walk.sets.pin(ids, "Pad puts constants beside them")
    walk.give(node.outputs[0], channels.axis, np.concatenate([ends[0], channels.ids, ends[1]]))


def _pads_constants(pad: ir.Node) -> bool:
    mode = pad.attributes.get("mode")
    return mode is None or mode.as_string() == "constant"


RULES: RuleTable = {
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "GlobalMaxPool": _pool,
    "GlobalAveragePool": _pool,
    "GlobalLpPool": _pool,
    "Resize": _resize,
    "Upsample": _resize,
    "Pad": _pad,
}

"""Normalizations and what else runs along one axis, such as Softmax."""

from __future__ import annotations

import onnx_ir as ir

from edgedeploy.optimize.graph.edit import constant, integer_attribute, opset
from edgedeploy.optimize.prune.channels.rules.rule import RuleTable, cut, keep
from edgedeploy.optimize.prune.channels.walk import Walk


def _per_channel(walk: Walk, node: ir.Node) -> None:
    """Parameters of shape (channels,)."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return
    computed = any(constant(value) is None for value in node.inputs[1:])
    if channels.axis != 1 or len([value for value in node.outputs if value.uses()]) > 1 or computed:
        keep(walk, node, "has computed parameters")
        return
    for position in range(1, len(node.inputs)):
        cut(walk, node, position, 0, channels.ids)
    walk.give(node.outputs[0], 1, channels.ids)


def _along_axis(walk: Walk, node: ir.Node) -> None:
    """Other axes than the operator's pass. Before opset 13 it ran over all axes from there on."""
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    runs_over_one = opset(walk.model) >= 13
    if shape is None or not runs_over_one or integer_attribute(node, "axis", -1) % len(shape) == channels.axis:
        keep(walk, node, "runs over them")
        return
    walk.give(node.outputs[0], channels.axis, channels.ids)


def _from_axis(walk: Walk, node: ir.Node) -> None:
    """Axes before the operator's pass."""
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    if shape is None or integer_attribute(node, "axis", -1) % len(shape) <= channels.axis:
        keep(walk, node, "runs over them")
        return
    walk.give(node.outputs[0], channels.axis, channels.ids)


RULES: RuleTable = {
    "BatchNormalization": _per_channel,
    "InstanceNormalization": _per_channel,
    "LayerNormalization": _from_axis,
    "Softmax": _along_axis,
    "LogSoftmax": _along_axis,
    "Hardmax": _along_axis,
}

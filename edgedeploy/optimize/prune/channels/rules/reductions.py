"""Operators that reduce axes to one number each."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from edgedeploy.optimize.graph.edit import constant, integer_attribute, integers_attribute
from edgedeploy.optimize.prune.channels.rules.rule import RuleTable, keep
from edgedeploy.optimize.prune.channels.walk import Walk


def _reduction(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    axes = _axes(node)
    if axes is None or shape is None:
        keep(walk, node, "sums over all")
        return
    reduced = {axis % len(shape) for axis in axes}
    if channels.axis in reduced or not reduced:
        keep(walk, node, "runs over them")
        return
    dropped = 0 if integer_attribute(node, "keepdims", 1) else sum(axis < channels.axis for axis in reduced)
    walk.give(node.outputs[0], channels.axis - dropped, channels.ids)


def _axes(node: ir.Node) -> Sequence[int] | None:
    """An attribute, or an operand in later opsets; None when there are none, or when they are computed."""
    attribute = integers_attribute(node, "axes")
    if attribute is not None or len(node.inputs) < 2:
        return attribute
    operand = constant(node.inputs[1])
    return None if operand is None else [int(axis) for axis in operand.ravel()]


RULES: RuleTable = {
    "ReduceMean": _reduction,
    "ReduceSum": _reduction,
    "ReduceMax": _reduction,
    "ReduceMin": _reduction,
    "ReduceProd": _reduction,
    "ReduceL1": _reduction,
    "ReduceL2": _reduction,
    "ReduceLogSum": _reduction,
    "ReduceLogSumExp": _reduction,
    "ReduceSumSquare": _reduction,
}

"""Gemm, MatMul and recurrent layers: matrices of weights, and products of what is computed."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import constant, integer_attribute
from edgedeploy.optimize.prune.channels.rules.convolutions import cut_bias
from edgedeploy.optimize.prune.channels.rules.rule import RuleTable, cut, keep
from edgedeploy.optimize.prune.channels.walk import Channels, Layer, Walk


def _gemm(walk: Walk, node: ir.Node) -> None:
    channels, weight = walk.channels(node.inputs[0]), constant(node.inputs[1])
    if weight is None or integer_attribute(node, "transA", 0) or (channels is not None and channels.axis != 1):
        keep(walk, node, "has computed weights or a transposed input")
        return
    output_axis = 0 if integer_attribute(node, "transB", 0) else 1
    outputs = _dense(walk, node, weight, channels, 1 - output_axis, output_axis)
    walk.give(node.outputs[0], 1, outputs)
    if not cut_bias(walk, node, 2, outputs):
        walk.sets.pin(outputs, "Gemm has a computed bias")


def _matmul(walk: Walk, node: ir.Node) -> None:
    left, right = node.inputs[0], node.inputs[1]
    weight = constant(right)
    shapes = [walk.shape(value) for value in (left, right, node.outputs[0])]
    ranks = [len(shape) for shape in shapes if shape is not None]
    if len(ranks) < 3 or min(ranks[:2]) < 2:
        keep(walk, node, "has operands of unknown shape")
    elif weight is not None and weight.ndim == 2 and constant(left) is None:
        channels = walk.channels(left)
        if channels is not None and channels.axis != ranks[0] - 1:
            # The rows' channels pass; those of the columns are not followed beside them.
            walk.give(node.outputs[0], channels.axis, channels.ids)
        else:
            walk.give(node.outputs[0], ranks[2] - 1, _dense(walk, node, weight, channels, 0, 1))
    elif constant(left) is not None or weight is not None:
        keep(walk, node, "has stacked weights, or weights on the left")
    else:
        _product(walk, node, ranks)


def _product(walk: Walk, node: ir.Node, ranks: list[int]) -> None:
    """A product of two computed operands; `ranks` are theirs and the result's."""
    first, second = walk.channels(node.inputs[0]), walk.channels(node.inputs[1])
    summed_first = first is not None and first.axis == ranks[0] - 1
    summed_second = second is not None and second.axis == ranks[1] - 2
    if first is not None and second is not None and summed_first and summed_second:
        walk.sets.unite(first.ids, second.ids)
        return
    if summed_first or summed_second:
        keep(walk, node, "sums over them and has no channels to match on its other side")
        return
    passed: Channels | None = None
    if first is not None and first.axis == ranks[0] - 2:
        passed = Channels(ranks[2] - 2, first.ids)
    if second is not None and second.axis == ranks[1] - 1 and passed is None:
        passed, second = Channels(ranks[2] - 1, second.ids), None
    for rest in (second, first if passed is None else None):
        if rest is not None:
            walk.sets.pin(rest.ids, "MatMul takes them along two axes")
    if passed is not None:
        walk.give(node.outputs[0], passed.axis, passed.ids)


def _dense(
    walk: Walk, node: ir.Node, weight: np.ndarray, channels: Channels | None, input_axis: int, output_axis: int
) -> np.ndarray:
    """A matrix of weights: it loses what the input loses, and its output channels can be removed; return these."""
    if channels is not None:
        cut(walk, node, 1, input_axis, channels.ids)
    outputs = walk.sets.fresh(weight.shape[output_axis])
    cut(walk, node, 1, output_axis, outputs)
    source = walk.shape(node.inputs[0])
    rows = 0 if source is None else math.prod(source) // max(weight.shape[input_axis], 1)
    walk.layers.append(
        Layer(
            node=walk.index[node],
            name=node.outputs[0].name or "",
            operator=node.op_type,
            kind="dense",
            inputs=None if channels is None else channels.ids,
            outputs=outputs,
            input_axis=input_axis,
            output_axis=output_axis,
            macs=rows * weight.size,
            weight_bytes=weight.nbytes,
        )
    )
    return outputs


def _recurrent(walk: Walk, node: ir.Node) -> None:
    """Channels of the input go with columns of W, (directions, gates · hidden, in); the states are not followed."""
    channels, weight = walk.channels(node.inputs[0]), constant(node.inputs[1])
    states = any(walk.channels(value) is not None for value in node.inputs[1:])
    if channels is None and not states:
        return
    if channels is None or weight is None or states or channels.axis != 2:
        keep(walk, node, "takes them as a state, or has computed weights")
        return
    cut(walk, node, 1, 2, channels.ids)


RULES: RuleTable = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}

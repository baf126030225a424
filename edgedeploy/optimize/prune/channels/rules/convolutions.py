"""Conv and ConvTranspose: the weight loses what the input loses, and its output channels can be removed.

Weights are (out, in / group, …) of a Conv, and (in, out / group, …) of a ConvTranspose.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import constant, integer_attribute
from edgedeploy.optimize.prune.channels.edits import GroupCount
from edgedeploy.optimize.prune.channels.rules.rule import RuleTable, cut, keep
from edgedeploy.optimize.prune.channels.walk import Layer, LayerKind, Walk


def _convolution(walk: Walk, node: ir.Node) -> None:
    channels, weight = walk.channels(node.inputs[0]), constant(node.inputs[1])
    if weight is None or weight.ndim < 3 or (channels is not None and channels.axis != 1):
        keep(walk, node, "has computed weights")
        return
    groups, transposed = integer_attribute(node, "group", 1), _is_transposed(node)
    inputs = None if channels is None else channels.ids
    outputs: np.ndarray | None
    kind: LayerKind
    if groups > 1 and (weight.shape[0] // groups if transposed else weight.shape[1]) == 1:
        kind, outputs = "depthwise", _depthwise(walk, node, weight, groups, inputs)
        inputs = None
    else:
        kind = "dense" if groups == 1 else "grouped"
        inputs = None if inputs is None else _cut_inputs(walk, node, groups, inputs)
        outputs = _new_outputs(walk, node, weight, groups)
    if outputs is not None:
        walk.give(node.outputs[0], 1, outputs)
        if not cut_bias(walk, node, 2, outputs):
            walk.sets.pin(outputs, f"{node.op_type} has a computed bias")
    source = walk.shape(node.inputs[0] if transposed else node.outputs[0])
    walk.layers.append(
        Layer(
            node=walk.index[node],
            name=node.outputs[0].name or "",
            operator=node.op_type,
            kind=kind,
            inputs=inputs,
            outputs=outputs,
            input_axis=-1 if kind == "depthwise" else 0 if transposed else 1,
            output_axis=1 if transposed else 0,
            macs=0 if source is None else math.prod(source) * math.prod(weight.shape[1:]),
            weight_bytes=weight.nbytes,
        )
    )


def _is_transposed(node: ir.Node) -> bool:
    return node.op_type == "ConvTranspose"


def _output_count(node: ir.Node, weight: np.ndarray, groups: int) -> int:
    return int(weight.shape[1]) * groups if _is_transposed(node) else int(weight.shape[0])


def _depthwise(
    walk: Walk, node: ir.Node, weight: np.ndarray, groups: int, inputs: np.ndarray | None
) -> np.ndarray | None:
    """Outputs go with the inputs that they are made from; of an input whose channels all stay, so do theirs: None."""
    if inputs is None:
        return None
    outputs = np.repeat(inputs, _output_count(node, weight, groups) // groups)
    cut(walk, node, 1, 0, inputs if _is_transposed(node) else outputs)
    walk.edits.append(GroupCount(node=walk.index[node], ids=inputs))
    return outputs


def _cut_inputs(walk: Walk, node: ir.Node, groups: int, inputs: np.ndarray) -> np.ndarray:
    """Cut the weight's input axis, at the same places of each group; return the channels along that axis."""
    first = _unite_groups(walk, inputs, groups)
    along = inputs if _is_transposed(node) else first
    cut(walk, node, 1, 0 if _is_transposed(node) else 1, along)
    return along


def _new_outputs(walk: Walk, node: ir.Node, weight: np.ndarray, groups: int) -> np.ndarray:
    """New channels for the output, which go at the same places of each group."""
    outputs = walk.sets.fresh(_output_count(node, weight, groups))
    first = _unite_groups(walk, outputs, groups)
    if _is_transposed(node):
        cut(walk, node, 1, 1, first)
    else:
        cut(walk, node, 1, 0, outputs)
    return outputs


def _unite_groups(walk: Walk, ids: np.ndarray, groups: int) -> np.ndarray:
    """Let the same places of all groups go together; return the channels of the first group."""
    rows = ids.reshape(groups, -1)
    for row in rows[1:]:
        walk.sets.unite(rows[0], row)
    return np.asarray(rows[0])


def cut_bias(walk: Walk, node: ir.Node, position: int, ids: np.ndarray) -> bool:
    """Cut a bias of one value per channel; return False when there is one that cannot be cut."""
    value = node.inputs[position] if len(node.inputs) > position else None
    if value is None:
        return True
    bias = constant(value)
    if bias is None:
        return False
    if bias.ndim and bias.shape[-1] == len(ids) and len(ids) > 1:
        cut(walk, node, position, bias.ndim - 1, ids)
    return True


RULES: RuleTable = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
}

"""Nodes between quantized layers that integer kernels exist for, so that numbers need not become floats in between.

onnxruntime computes such a node in integers when its inputs come from DequantizeLinear and its output goes into
QuantizeLinear (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Where that is not so, as
between float operators, a pair of these nodes costs more than it saves: a node is taken only when all its inputs are on
grids anyway and what reads it wants a grid.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, get_args

import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.edit import constant, float_attribute, is_operator, only_consumer
from edgedeploy.optimize.graph.layer_filter import LayerFilter
from edgedeploy.optimize.graph.linear import Linear

ElementwiseName = Literal[
    "Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "HardSigmoid", "HardSwish", "LeakyRelu", "Sigmoid"
]
ELEMENTWISE: tuple[ElementwiseName, ...] = get_args(ElementwiseName)

_MOVES_VALUES = ("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze")
_MOVES_GRIDS = ("MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice")
"""Behind these onnxruntime puts the grid of what they read once more (`CanNodePropagate` in
https://github.com/microsoft/onnxruntime, onnxruntime/core/optimizer/qdq_transformer/qdq_propagation.cc)."""


class ElementwiseNode(Struct, frozen=True, kw_only=True, eq=False):
    """A node that is to compute in integers."""

    node: ir.Node
    inputs: tuple[ir.Value, ...]
    """Those that are computed, each once."""
    output: ir.Value
    """What goes on a grid: behind the activation that follows, where the grid's bounds do its work."""


def find_elementwise(
    model: ir.Model, linear: Sequence[Linear], operators: Collection[ElementwiseName], layer_filter: LayerFilter
) -> list[ElementwiseNode]:
    """Find the nodes between these layers that compute in integers when the layers do, in the graph's order."""
    found: list[ElementwiseNode] = []
    for node in model.graph:
        if is_operator(node, *operators) and layer_filter.exclusion_reason((node.outputs[0].name or "",)) is None:
            inputs, output = _computed_inputs(node), quantized_output(node)
            if inputs and not is_moved_into_branch(output):
                found.append(ElementwiseNode(node=node, inputs=inputs, output=output))
    convolutions = [layer for layer in linear if layer.operator == "Conv"]
    # A matrix product gives floats and takes integers: what it reads is on a grid for it alone.
    on_grids = {quantized_output(layer.node) for layer in convolutions} | {layer.input for layer in convolutions}
    wanted = {layer.input for layer in linear}
    while True:
        known = on_grids | {candidate.output for candidate in found}
        needed = wanted | {value for candidate in found for value in candidate.inputs}
        kept = [
            candidate
            for candidate in found
            if all(origin(value, known) in known for value in candidate.inputs) and _leads_to(candidate.output, needed)
        ]
        if len(kept) == len(found):
            return found
        found = kept


def quantized_output(node: ir.Node) -> ir.Value:
    """Return the value behind a node that goes on a grid: behind its activation where the grid can do its work."""
    reader = only_consumer(node.outputs[0])
    if reader is not None and reader.graph is node.graph and is_operator(reader, "Relu", "Clip"):
        bounds = [value for value in reader.inputs[1:] if value is not None]
        if all(constant(bound) is not None for bound in bounds):
            return reader.outputs[0]
    return node.outputs[0]


def origin(value: ir.Value, known: Collection[ir.Value]) -> ir.Value:
    """Return the value among `known` whose elements `value` only moves, the furthest up; itself when there is none."""
    source = value
    while (node := source.producer()) is not None and _moves(node) and (above := node.inputs[0]) is not None:
        source = above
        if source in known:
            return origin(source, known)
    return value


def is_moved_into_branch(value: ir.Value) -> bool:
    """Tell whether a subgraph (a branch of an If, the body of a Loop or Scan) reads elements of `value` that nodes move
    before: then its floats have to stay for all but integer kernels.

    onnxruntime carries grids on through such nodes, and does not expect that what reads them is a subgraph: 1.32 ends
    the whole process over it. What a subgraph reads of a grid directly is fine.
    """
    return any(
        use.node.graph is value.graph
        and use.idx == 0
        and is_operator(use.node, *_MOVES_GRIDS)
        and (_is_read_in_branch(use.node.outputs[0]) or is_moved_into_branch(use.node.outputs[0]))
        for use in value.uses()
    )


def _is_read_in_branch(value: ir.Value) -> bool:
    return any(use.node.graph is not value.graph for use in value.uses())


def _moves(node: ir.Node) -> bool:
    """Whether it moves values and computes none: what was on a grid before is on it after, and a second grid would cost
    accuracy."""
    if is_operator(node, "Resize"):
        mode = node.attributes.get("mode")
        return mode is None or mode.as_string() == "nearest"
    return is_operator(node, *_MOVES_VALUES)


def _leads_to(value: ir.Value, needed: Collection[ir.Value]) -> bool:
    return value in needed or any(
        _moves(use.node) and use.idx == 0 and _leads_to(use.node.outputs[0], needed) for use in value.uses()
    )


def _computed_inputs(node: ir.Node) -> tuple[ir.Value, ...] | None:
    """The inputs that are not known, None when the node cannot compute in integers."""
    computed: dict[ir.Value, None] = {}
    for value in node.inputs:
        if value is None:
            continue
        known = constant(value)
        if known is None:
            computed[value] = None
        elif known.size != 1 or not abs(float(known.reshape(-1)[0])) < float("inf") or is_operator(node, "Concat"):
            # One scale for a constant of many channels would cost accuracy.
            return None
    if is_operator(node, "HardSigmoid") and float_attribute(node, "alpha", 0.2) <= 0:
        return None
    return tuple(computed) or None

"""How many parameters a model has.

ONNX does not say which constants are weights, so this goes by their use. A constant (initializer, sparse initializer
or `Constant` node) counts with all its elements, once, however often it is used, when

- it is of floating type, or an integer of at most 16 bits (a quantized weight), or an int32 that is dequantized or is
  the bias of an integer operator;
- an operator reads it, and not as a setting: scales and zero points, bounds of `Clip`, sizes of `Resize` and the like;
- it is more than one number, unless it is read by an operator that has weights (`Add(x, 3)` is part of a hard swish,
  but the bias of a convolution with one channel is a weight).

The running mean and variance of a batch normalization count: ONNX stores them as it stores weights. PyTorch calls them
buffers and leaves them out of its own count.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterable, MutableMapping

import onnx
from onnx import TensorProto

from edgedeploy.model.graphs import subgraphs

_FLOATS = frozenset(
    value for name, value in TensorProto.DataType.items() if name.startswith(("FLOAT", "DOUBLE", "BFLOAT"))
)
_SMALL_INTEGERS = frozenset(
    TensorProto.DataType.Value(name) for name in "INT2 UINT2 INT4 UINT4 INT8 UINT8 INT16 UINT16".split()
)

# The operands that are weights, for operators whose other operands are scales, zero points or settings.
# https://onnx.ai/onnx/operators/ and https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
_WEIGHT_OPERANDS: dict[str, frozenset[int]] = {
    "QuantizeLinear": frozenset({0}),
    "DequantizeLinear": frozenset({0}),
    "QLinearConv": frozenset({0, 3, 8}),
    "QLinearMatMul": frozenset({0, 3}),
    "ConvInteger": frozenset({0, 1}),
    "MatMulInteger": frozenset({0, 1}),
    "MatMulIntegerToFloat": frozenset({0, 1, 6}),
    "DynamicQuantizeMatMul": frozenset({0, 1, 4}),
    "QGemm": frozenset({0, 3, 6}),
    "QLinearAdd": frozenset({0, 3}),
    "QLinearMul": frozenset({0, 3}),
    "MatMulNBits": frozenset({0, 1, 5}),
    "GatherBlockQuantized": frozenset({0}),
    "Clip": frozenset({0}),
    "Resize": frozenset({0}),
    "Upsample": frozenset({0}),
    "Pad": frozenset({0}),
    "Pow": frozenset({0}),
    "Dropout": frozenset({0}),
    "OneHot": frozenset(),
    "Range": frozenset(),
    "NonMaxSuppression": frozenset({0, 1}),
}
_INT32_BIASES = frozenset({("DequantizeLinear", 0), ("QLinearConv", 8), ("QGemm", 6)})

# Operators for which one number is a factor, an offset or a bound.
_ARITHMETIC = frozenset(
    "Add And Clip Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow Sub Sum Where "
    "Concat Expand Identity Cast".split()
)


class _Constant:
    """One constant and what is known of its use."""

    def __init__(self, elements: int, data_type: int) -> None:
        self.elements = elements
        self.data_type = data_type
        self.is_weight = False


def count_parameters(model: onnx.ModelProto) -> int:
    """Count the elements of all weights, as this module defines them.

    Tensor data is not read, so it may be external.
    """
    found: list[_Constant] = []
    _visit_graph(model.graph, ChainMap(), found)
    for function in model.functions:
        _visit_nodes(function.node, ChainMap(), found)
    return sum(constant.elements for constant in found if constant.is_weight)


def _visit_graph(graph: onnx.GraphProto, outer: ChainMap[str, _Constant], found: list[_Constant]) -> None:
    scope = outer.new_child()
    for tensor in graph.initializer:
        _define(tensor.name, tensor.dims, tensor.data_type, scope, found)
    for sparse in graph.sparse_initializer:
        # The values are the parameters; what they leave out is zero.
        _define(sparse.values.name, sparse.values.dims, sparse.values.data_type, scope, found)
    _visit_nodes(graph.node, scope, found)


def _visit_nodes(nodes: Iterable[onnx.NodeProto], scope: ChainMap[str, _Constant], found: list[_Constant]) -> None:
    for node in nodes:
        if node.op_type == "Constant" and node.output:
            _define_constant_node(node, scope, found)
        for index, name in enumerate(node.input):
            if name in scope:
                _use(scope[name], node, index)
        for graph in subgraphs(node):
            _visit_graph(graph, scope, found)


def _define(
    name: str, dims: Iterable[int], data_type: int, scope: MutableMapping[str, _Constant], found: list[_Constant]
) -> None:
    constant = _Constant(math.prod(dims), data_type)
    scope[name] = constant
    found.append(constant)


def _define_constant_node(node: onnx.NodeProto, scope: MutableMapping[str, _Constant], found: list[_Constant]) -> None:
    for attribute in node.attribute:
        if attribute.name == "value":
            _define(node.output[0], attribute.t.dims, attribute.t.data_type, scope, found)
        elif attribute.name == "sparse_value":
            values = attribute.sparse_tensor.values
            _define(node.output[0], values.dims, values.data_type, scope, found)
        elif attribute.name in ("value_float", "value_floats"):
            _define(node.output[0], [len(attribute.floats) or 1], TensorProto.FLOAT, scope, found)


def _use(constant: _Constant, node: onnx.NodeProto, index: int) -> None:
    operands = _WEIGHT_OPERANDS.get(node.op_type)
    if operands is not None and index not in operands:
        return
    if constant.elements == 1 and node.op_type in _ARITHMETIC:
        return
    if (
        constant.data_type in _FLOATS
        or constant.data_type in _SMALL_INTEGERS
        or (constant.data_type == TensorProto.INT32 and (node.op_type, index) in _INT32_BIASES)
    ):
        constant.is_weight = True

"""Turns products of quantized values into products of integers.

A QDQ model says `QuantizeLinear(Conv(DequantizeLinear(x), DequantizeLinear(weights)))`; that is one product of integers
whose sums are scaled and rounded once, as onnxruntime does it too. Where the result is not quantized it is a product of
integers that gives floats. What is not of that form is computed in float, from dequantized weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedeploy.compile.native.finish import ACTIVATION
from edgedeploy.compile.native.fuse import unary
from edgedeploy.compile.native.graph import Graph, Node, Value

INTEGER = "edgedeploy:Integer"
"""How the operators begin that this pass makes, e.g. `"edgedeploy:IntegerConv"`. They take one input, of int8."""

PRODUCT = "_integers"
"""Attribute of such a node: an `Integers`."""

_PRODUCTS = ("Conv", "Gemm", "MatMul")
_ONE = np.float32(1)

_DEEPEST = 1 << 16
"""Products in one sum at most: so many of 14 bits, and their zero points, fit into 31."""


@dataclass(frozen=True)
class Integers:
    """What a product of integers is computed with."""

    weights: np.ndarray
    """int8, not below -127: of a Conv as ONNX has them, of the others [depth, columns]."""
    bias: np.ndarray
    """int32 [columns]; what the zero point of the input adds is in it."""
    scale: np.ndarray
    """float32 [columns]: from sums to the result, in steps of its own scale where it is quantized."""
    source_zero: int
    zero: int
    """Of the result, where it is quantized."""
    bounds: tuple[float, float]
    """Of the quantized result, before `zero` is added."""
    dot_product: bool
    """Whether the core has instructions that add four products at once: see `packing.packed_integers`."""


def quantize(graph: Graph, *, dot_product: bool = False) -> None:
    """Turn products of quantized values into products of integers, and fold dequantized constants.

    Args:
        dot_product: whether the core has `asimddp`.
    """
    _make_signed(graph)
    for node in [each for each in graph.nodes if each.op in _PRODUCTS]:
        _try_product(graph, node, dot_product)
    _fold_constants(graph)
    graph.drop_unused()


@dataclass(frozen=True)
class _Quantized:
    """A DequantizeLinear whose scale and zero point are known."""

    source: Value
    scale: np.ndarray
    zero: np.ndarray
    axis: int | None
    """None when one scale is for all."""


def _dequantized(producers: dict[Value, Node], value: Value | None) -> _Quantized | None:
    node = producers.get(value) if value is not None else None
    return _parameters(node, node.needed(0)) if node is not None and node.op == "DequantizeLinear" else None


def _parameters(node: Node, source: Value) -> _Quantized | None:
    scale, zero = node.needed(1).constant, node.input(2)
    if scale is None or scale.dtype != np.float32 or (zero is not None and zero.constant is None):
        return None
    if node.get("block_size", 0) or scale.ndim > 1:
        return None
    zeros = np.zeros(scale.shape, np.int32) if zero is None or zero.constant is None else zero.constant.astype(np.int32)
    axis = None
    if scale.size > 1:
        axis = int(node.get("axis", 1)) % len(source.shape)
    return _Quantized(source, scale.reshape(-1), zeros.reshape(-1), axis)


def _make_signed(graph: Graph) -> None:
    """Change uint8 to int8 between quantizing and dequantizing: 128 less in stored values and in zero points."""
    producers, consumers = graph.producers(), graph.consumers()
    for value in list(graph.values()):
        if value.dtype != np.uint8 or value in graph.outputs or value in graph.inputs:
            continue
        takers = consumers.get(value, [])
        made_by = producers.get(value)
        if made_by is None and value.constant is None:
            continue
        if made_by is not None and made_by.op != "QuantizeLinear":
            continue
        if any(taker.op != "DequantizeLinear" or taker.inputs.count(value) != 1 for taker in takers):
            continue
        if any(taker.inputs[0] is not value for taker in takers):
            continue
        ends = [*takers, *([made_by] if made_by is not None else [])]
        if any(each.input(2) is not None and each.needed(2).constant is None for each in ends):
            continue
        for each in ends:
            scale = each.needed(1)
            zero = each.input(2)
            old = np.zeros(scale.shape, np.uint8) if zero is None or zero.constant is None else zero.constant
            less = (old.astype(np.int32) - 128).astype(np.int8)
            each.inputs[2:] = [Value(f"{value.name}.zero", less.dtype, less.shape, less)]
            each.attributes.pop("output_dtype", None)
        value.dtype = np.dtype(np.int8)
        if value.constant is not None:
            value.constant = (value.constant.astype(np.int32) - 128).astype(np.int8)


def _try_product(graph: Graph, node: Node, dot_product: bool) -> None:
    producers = graph.producers()
    source, weights = _dequantized(producers, node.input(0)), _dequantized(producers, node.input(1))
    if source is None or weights is None or source.axis is not None or source.source.dtype != np.int8:
        return
    matrix = _matrix(node, weights)
    if matrix is None:
        return
    columns = matrix.shape[0] if node.op == "Conv" else matrix.shape[1]
    factor = source.scale[0] * np.broadcast_to(weights.scale, (columns,))
    bias = _bias(producers, node, factor)
    if bias is None:
        return
    zero = int(source.zero[0])
    per_column = matrix.reshape(columns, -1).T if node.op == "Conv" else matrix
    if per_column.shape[0] > _DEEPEST:
        return
    bias = bias - zero * per_column.astype(np.int64).sum(axis=0)
    if np.abs(bias).max(initial=0) >= 1 << 30:
        return
    made = _followed(graph, node)
    scale, low, high, target = factor, 0.0, 0.0, 0
    if made.quantizer is not None:
        scale = (factor / made.scale).astype(np.float32)
        target, low, high = made.zero, *made.bounds
    product = Integers(matrix, bias.astype(np.int32), scale.astype(np.float32), zero, target, (low, high), dot_product)
    attributes = {
        key: each for key, each in node.attributes.items() if key not in ("transA", "transB", "alpha", "beta")
    }
    attributes[PRODUCT] = product
    if made.activation is not None:
        attributes[ACTIVATION] = made.activation
    replacement = Node(INTEGER + node.op, node.name, [source.source], [made.result], attributes)
    position = graph.nodes.index(made.last)
    graph.nodes[position] = replacement
    graph.nodes = [each for each in graph.nodes if each is not node and each not in made.between]


def _matrix(node: Node, weights: _Quantized) -> np.ndarray | None:
    """Return weights as `Integers` has them; None when they cannot be those of an integer product."""
    array = weights.source.constant
    if array is None or array.dtype != np.int8 or np.any(weights.zero) or array.min(initial=0) < -127:
        return None
    if node.op == "Conv":
        fits = len(array.shape) in (3, 4) and weights.axis in (None, 0)
        return array if fits else None
    if len(array.shape) != 2 or (node.op == "Gemm" and (node.get("transA", 0) or node.get("alpha", 1.0) != 1)):
        return None
    transposed = node.op == "Gemm" and node.get("transB", 0)
    if weights.axis not in (None, 0 if transposed else 1):
        return None
    return array.T if transposed else array


def _bias(producers: dict[Value, Node], node: Node, factor: np.ndarray) -> np.ndarray | None:
    """Return the bias, int64 [columns], in steps of `factor`; None when it is not known or not per column."""
    value = node.input(2)
    if value is None:
        return np.zeros(factor.shape, np.int64)
    if node.op == "Gemm" and node.get("beta", 1.0) != 1:
        return None
    stored = _dequantized(producers, value)
    if stored is not None and stored.source.constant is not None and stored.source.dtype == np.int32:
        scale = np.broadcast_to(stored.scale, factor.shape) if stored.scale.size in (1, factor.size) else None
        if scale is not None and not np.any(stored.zero) and np.allclose(scale, factor, rtol=1e-5, atol=0.0):
            numbers = stored.source.constant.reshape(-1).astype(np.int64)
            return np.broadcast_to(numbers, factor.shape) if numbers.size in (1, factor.size) else None
    array = value.constant
    if array is None and stored is not None and stored.source.constant is not None:
        array = (stored.source.constant.astype(np.float64) - stored.zero) * stored.scale
    if array is None or array.size not in (1, factor.size) or np.any(factor <= 0):
        return None
    exact = np.rint(np.broadcast_to(array.reshape(-1).astype(np.float64), factor.shape) / factor)
    return exact.astype(np.int64) if np.abs(exact).max(initial=0) < 1 << 30 else None


@dataclass(frozen=True)
class _Followed:
    """What a product's result goes through before anything else sees it."""

    result: Value
    last: Node
    between: tuple[Node, ...]
    quantizer: Node | None = None
    scale: np.float32 = _ONE
    zero: int = 0
    bounds: tuple[float, float] = (0.0, 0.0)
    activation: tuple[str, float, float] | None = None


def _followed(graph: Graph, node: Node) -> _Followed:
    consumers = graph.consumers()

    def only_taker(value: Value) -> Node | None:
        takers = consumers.get(value, [])
        return takers[0] if len(takers) == 1 and value not in graph.outputs else None

    plain = _Followed(node.output, node, ())
    taker = only_taker(node.output)
    if taker is None:
        return plain
    found = unary(taker)
    bounded = found if found is not None and found[0] == "CLIP" else None
    quantizer = only_taker(taker.output) if bounded is not None else taker
    between = (taker,) if bounded is not None else ()
    if quantizer is not None and quantizer.op == "QuantizeLinear" and quantizer.output.dtype == np.int8:
        parameters = _parameters(quantizer, quantizer.output)
        if parameters is not None and parameters.axis is None:
            scale, zero = parameters.scale[0], int(parameters.zero[0])
            low, high = -128.0 - zero, 127.0 - zero
            if bounded is not None:
                # Rounding is monotone: bounds may be rounded in place of what they bound.
                least, most = (float(np.rint(np.float32(each) / scale)) for each in bounded[1:])
                low, high = min(max(low, least), high), max(min(high, most), low)
            return _Followed(quantizer.output, quantizer, between, quantizer, scale, zero, (low, high))
    if found is not None:
        return _Followed(taker.output, taker, (), activation=found)
    return plain


def _fold_constants(graph: Graph) -> None:
    """Compute the dequantized constants that are left."""
    kept = []
    for node in graph.nodes:
        array = node.needed(0).constant if node.op == "DequantizeLinear" else None
        found = _parameters(node, node.needed(0)) if array is not None else None
        if array is None or found is None:
            kept.append(node)
            continue
        shape = [1] * array.ndim
        if found.axis is not None:
            shape[found.axis] = -1
        scale, zero = found.scale.reshape(shape), found.zero.reshape(shape)
        if found.axis is None:
            scale, zero = found.scale[0], found.zero[0]
        node.output.constant = ((array.astype(np.int32) - zero).astype(np.float32) * scale).astype(np.float32)
    graph.nodes = kept

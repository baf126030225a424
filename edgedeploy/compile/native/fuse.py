"""Joins operators to the products before them, so that results are finished while they are in registers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgedeploy.compile.native.convolutions import has_kernel as convolution_has_kernel
from edgedeploy.compile.native.finish import ACTIVATION, ADDED, BIAS
from edgedeploy.compile.native.formulas import clip_bounds
from edgedeploy.compile.native.graph import Graph, Node, Value
from edgedeploy.compile.native.matrices import gemm_has_kernel, matmul_has_kernel
from edgedeploy.foundation.errors import UnsupportedError

_PRODUCTS: dict[str, Callable[[Node], bool]] = {
    "Conv": convolution_has_kernel,
    "ConvTranspose": convolution_has_kernel,
    "Gemm": gemm_has_kernel,
    "MatMul": matmul_has_kernel,
}
"""Each with what tells whether there is a kernel for a node: only kernels can finish what they compute."""

UnaryForm = tuple[str, float, float]


def fuse(graph: Graph) -> None:
    """Split batch normalization into a product and a sum; join biases, additions and activations to products."""
    _split_batch_normalization(graph)
    for attempt in (_bias, _addition, _activation):
        _each_product(graph, attempt)
    graph.drop_unused()


def _split_batch_normalization(graph: Graph) -> None:
    nodes: list[Node] = []
    for node in graph.nodes:
        parts = [node.input(which) for which in range(1, 5)] if node.op == "BatchNormalization" else []
        if not parts or any(part is None or part.constant is None for part in parts) or node.get("training_mode", 0):
            nodes.append(node)
            continue
        scale, bias, mean, variance = (np.asarray(node.constant(which), np.float64) for which in range(1, 5))
        factor = scale / np.sqrt(variance + node.get("epsilon", 1e-5))
        shape = (-1, *[1] * (len(node.needed(0).shape) - 2))
        source, result = node.needed(0), node.output
        between = Value(f"{result.name}.scaled", result.dtype, result.shape)
        for op, taken, made, numbers in (
            ("Mul", source, between, factor),
            ("Add", between, result, bias - mean * factor),
        ):
            array = numbers.astype(result.dtype).reshape(shape)
            constant = Value(f"{made.name}.{op}", result.dtype, array.shape, array)
            nodes.append(Node(op, node.name, [taken, constant], [made]))
    graph.nodes = nodes


def _each_product(graph: Graph, attempt: Callable[[Graph, Node, Node], Value | None]) -> None:
    """Try to take in what follows each product, where nothing else takes its result.

    `attempt` gets the product and the one node that takes its result, and gives the value that the product makes from
    then on, or None. The product goes where the node was: what else it takes is known by then.
    """
    for product in [node for node in graph.nodes if node.op in _PRODUCTS]:
        if ACTIVATION in product.attributes:
            continue
        if not _PRODUCTS[product.op](product):
            continue
        consumers = graph.consumers()
        takers = consumers.get(product.output, [])
        if not takers or product.output in graph.outputs or product.output.dtype.name != "float32":
            continue
        for taker in takers:
            attributes, inputs = dict(product.attributes), list(product.inputs)
            made = attempt(graph, product, taker)
            if made is None:
                continue
            if not _PRODUCTS[product.op](product):
                product.attributes, product.inputs = attributes, inputs
                continue
            gone = [each for each in takers if each is not product]
            last = next(node for node in graph.nodes if made in node.outputs)
            position = graph.nodes.index(last)
            graph.nodes[position] = product
            graph.nodes = [
                each
                for number, each in enumerate(graph.nodes)
                if number == position or (each is not product and each not in gone)
            ]
            product.outputs = [made]
            break


def _bias(graph: Graph, product: Node, taker: Node) -> Value | None:
    if product.op != "MatMul" or taker.op != "Add" or len(graph.consumers()[product.output]) != 1:
        return None
    other = next((each for each in taker.inputs if each is not product.output), None)
    matrix = product.needed(1)
    if other is None or other.constant is None or matrix.constant is None or len(matrix.shape) < 2:
        return None
    if any(extent != 1 for extent in matrix.shape[:-2]) or taker.output.shape != product.output.shape:
        return None
    columns = matrix.shape[-1]
    if other.size == 1 or (other.size == columns and other.shape[-1] == columns):
        product.attributes[BIAS] = np.ascontiguousarray(np.broadcast_to(other.constant.reshape(-1), (columns,)))
        return taker.output
    return None


def _addition(graph: Graph, product: Node, taker: Node) -> Value | None:
    if taker.op not in ("Add", "Sum") or len(taker.inputs) != 2 or len(graph.consumers()[product.output]) != 1:
        return None
    if product.op == "ConvTranspose" or ADDED in product.attributes:
        return None
    weights = product.needed(1)
    if weights.constant is None or (product.op == "MatMul" and any(extent != 1 for extent in weights.shape[:-2])):
        return None
    if product.op == "Conv" and product.get("group", 1) == product.needed(0).shape[1] and weights.shape[1] == 1:
        return None  # the depthwise kernel adds nothing
    bias = product.input(2)
    if product.op == "Gemm" and bias is not None and (bias.constant is None or bias.size != weights.shape[0]):
        return None
    other = next((each for each in taker.inputs if each is not product.output), None)
    if other is None or other.shape != product.output.shape or other.constant is not None:
        return None
    product.attributes[ADDED] = other
    product.inputs = [*product.inputs, *[None] * (3 - len(product.inputs)), other]
    return taker.output


def _activation(graph: Graph, product: Node, taker: Node) -> Value | None:
    takers = graph.consumers()[product.output]
    if len(takers) == 1:
        found = unary(taker)
        if found is None:
            return None
        product.attributes[ACTIVATION] = found
        return taker.output
    # x * sigmoid(x)
    if len(takers) == 2 and taker.op == "Sigmoid" and taker.output not in graph.outputs:
        other = next(each for each in takers if each is not taker)
        if (
            other.op == "Mul"
            and set(other.inputs) == {product.output, taker.output}
            and graph.consumers()[taker.output] == [other]
        ):
            product.attributes[ACTIVATION] = ("SILU", 0.0, 0.0)
            return other.output
    return None


def unary(node: Node) -> UnaryForm | None:
    """Find the activation of the kernels that computes this operator: its name, alpha and beta; None when none does."""
    if node.op == "Relu":
        return ("CLIP", 0.0, float("inf"))
    if node.op == "Clip":
        try:
            low, high = clip_bounds(node)
        except UnsupportedError:
            return None
        return ("CLIP", -np.inf if low is None else float(low), np.inf if high is None else float(high))
    if node.op == "LeakyRelu":
        return ("LEAKY_RELU", float(node.get("alpha", 0.01)), 0.0)
    if node.op == "HardSigmoid":
        return ("HARD_SIGMOID", float(node.get("alpha", 0.2)), float(node.get("beta", 0.5)))
    if node.op == "Gelu" and node.get("approximate", "none") == "none":
        return ("GELU", 0.0, 0.0)
    names = {"Sigmoid": "SIGMOID", "Tanh": "TANH", "HardSwish": "HARD_SWISH"}
    return (names[node.op], 0.0, 0.0) if node.op in names else None

"""Factors of a Gemm, alpha · A · B + beta · C, put into B and C where these are known."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import (
    all_nodes,
    constant,
    drop_if_unused,
    float_attribute,
    is_operator,
    replace_input,
)

_WIDE = (np.float32, np.float64)


def fold_gemm_factors(model: ir.Model, builder: GraphBuilder) -> int:
    """Put alpha and beta into known weights and biases, and return how many there were.

    Left as they are: factors of a weight that something else reads too, which the file would then hold twice; weights
    of less than 32 bits, which would round; and results that the type cannot hold.
    """
    folded = 0
    for node in all_nodes(model):
        if is_operator(node, "Gemm"):
            folded += _fold_alpha(node, builder) + _fold_beta(node, builder)
    return folded


def _fold_alpha(node: ir.Node, builder: GraphBuilder) -> int:
    alpha, value = float_attribute(node, "alpha", 1.0), node.inputs[1]
    if alpha == 1.0 or value is None or value.is_graph_output():
        return 0
    readers = list(value.uses())
    if not all(_multiplies(use.node, use.idx, alpha) for use in readers):
        return 0
    scaled = _scaled(value, alpha)
    if scaled is None:
        return 0
    new = builder.initializer(f"{value.name}_scaled", scaled)
    for use in readers:
        replace_input(use.node, use.idx, new)
        use.node.attributes.pop("alpha", None)
    return len(readers)


def _multiplies(node: ir.Node, position: int, alpha: float) -> bool:
    return is_operator(node, "Gemm") and position == 1 and float_attribute(node, "alpha", 1.0) == alpha


def _fold_beta(node: ir.Node, builder: GraphBuilder) -> int:
    beta, value = float_attribute(node, "beta", 1.0), node.inputs[2] if len(node.inputs) > 2 else None
    if beta == 1.0:
        return 0
    if value is None:
        node.attributes.pop("beta", None)
        return 0
    if beta == 0.0 and constant(value) is not None:
        node.resize_inputs(2)
        drop_if_unused(value)
    else:
        scaled = _scaled(value, beta)
        if scaled is None:
            return 0
        replace_input(node, 2, builder.initializer(f"{value.name}_scaled", scaled))
    node.attributes.pop("beta", None)
    return 1


def _scaled(value: ir.Value, factor: float) -> np.ndarray | None:
    array = constant(value)
    if array is None or array.dtype not in _WIDE:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (array.astype(np.float64) * factor).astype(array.dtype)
    return scaled if np.isfinite(scaled).all() else None

"""Convolutions with known weights, and what can be put into them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph import (
    add_initializer,
    constant,
    drop_if_unused,
    integer_attribute,
    is_operator,
    replace_input,
)


class Affine(Struct, frozen=True, kw_only=True):
    """y = factor · x + summand for each output channel; float64, shape (channels,)."""

    factor: np.ndarray
    summand: np.ndarray


def output_channels(node: ir.Node) -> int | None:
    """How many channels the convolution gives; None when its weights are not known or it is no convolution."""
    weight = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if weight is None:
        return None
    if is_operator(node, "Conv"):
        return int(weight.shape[0])
    if is_operator(node, "ConvTranspose"):
        return int(weight.shape[1]) * integer_attribute(node, "group", 1)
    return None


def absorb(node: ir.Node, affine: Affine, after: ir.Node) -> bool:
    """Put `affine` into the convolution `node` and remove `after`, the only reader of its output, which did it.

    New weights are made; other readers of the old ones keep those. False, and nothing is changed, when it cannot be
    done: weights not known, not 32 bits wide, or results that 32 bits cannot hold.
    """
    graph = node.graph
    channels = output_channels(node)
    if channels is None or not isinstance(graph, ir.Graph) or after.graph is not graph:
        return False
    weight = constant(node.inputs[1])
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(bias_value)
    if weight is None or weight.dtype != np.float32 or affine.factor.shape != (channels,):
        return False
    if bias_value is not None and (bias is None or bias.dtype != np.float32 or bias.shape != (channels,)):
        return False

    if is_operator(node, "Conv"):
        factors = affine.factor.reshape((channels,) + (1,) * (weight.ndim - 1))
    elif integer_attribute(node, "group", 1) == 1:
        factors = affine.factor.reshape((1, channels) + (1,) * (weight.ndim - 2))
    else:
        # Of a grouped ConvTranspose, input channels choose the group, and so the output channel, of a weight.
        groups = integer_attribute(node, "group", 1)
        per_group = affine.factor.reshape((groups, 1, channels // groups) + (1,) * (weight.ndim - 2))
        factors = np.broadcast_to(per_group, (groups, weight.shape[0] // groups, *per_group.shape[2:]))
        factors = factors.reshape((weight.shape[0], channels // groups) + (1,) * (weight.ndim - 2))
    new_bias = (0.0 if bias is None else bias.astype(np.float64)) * affine.factor + affine.summand
    with np.errstate(over="ignore", invalid="ignore"):
        new_weight = (weight.astype(np.float64) * factors).astype(np.float32)
        new_bias = new_bias.astype(np.float32)
    if not (np.isfinite(new_weight).all() and np.isfinite(new_bias).all()):
        return False

    name = node.inputs[1].name if node.inputs[1] is not None else None
    if (affine.factor != 1.0).any():
        replace_input(node, 1, add_initializer(graph, f"{name or 'weight'}_folded", new_weight))
    if new_bias.any() or bias is not None:
        node.resize_inputs(3)
        replace_input(node, 2, add_initializer(graph, f"{name or 'weight'}_bias", new_bias))
    take_over_output(node, after)
    return True


def take_over_output(node: ir.Node, after: ir.Node) -> None:
    """Remove `after`, the only reader of `node`; what it gave is now what `node` gives, name included."""
    graph = after.graph
    assert isinstance(graph, ir.Graph)
    source, result = node.outputs[0], after.outputs[0]
    name, shape, kind = result.name, result.shape, result.type
    ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
    inputs = list(after.inputs)
    graph.remove(after, safe=True)
    for value in inputs:
        if value is not None:
            drop_if_unused(value)
    source.name, source.shape, source.type = name, shape, kind

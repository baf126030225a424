"""Convolutions and matrix products with known weights, and what can be put into these."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import (
    constant,
    drop_if_unused,
    float_attribute,
    integer_attribute,
    integers_attribute,
    is_operator,
    replace_input,
)


class Affine(Struct, frozen=True, kw_only=True):
    """y = factor · x + summand for each channel; float64, shape (channels,)."""

    factor: np.ndarray
    summand: np.ndarray


def output_channels(node: ir.Node) -> int | None:
    """Count the channels that the node gives; None when its weights are not known or it is none of these operators."""
    weight = _weight(node)
    if weight is None:
        return None
    if is_operator(node, "Conv"):
        return int(weight.shape[0])
    if is_operator(node, "ConvTranspose"):
        return int(weight.shape[1]) * integer_attribute(node, "group", 1)
    return int(weight.shape[0 if integer_attribute(node, "transB", 0) else 1])


def output_rank(node: ir.Node) -> int | None:
    """Return the rank of what the node gives; None when that is not known."""
    weight = _weight(node)
    if weight is None or is_operator(node, "Gemm"):
        return None if weight is None else 2
    if is_operator(node, "MatMul"):
        source = node.inputs[0]
        return None if source is None or source.shape is None else len(source.shape)
    return weight.ndim


def channels_are_last(node: ir.Node) -> bool:
    """Tell whether channels are the last axis, as of a matrix product; of a convolution they are the second."""
    return is_operator(node, "Gemm", "MatMul")


def fold_following(builder: GraphBuilder, node: ir.Node, affine: Affine, after: ir.Node) -> bool:
    """Put `affine` into the weights of `node` and remove `after`, the only reader of its output, which did it.

    A MatMul of matrices that needs a bias becomes a Gemm. False, and nothing is changed, when it cannot or should not
    be done: weights not known, not 32 bits wide, read by another node too (they would be in the file twice), or results
    that 32 bits cannot hold.
    """
    graph, weight, channels = node.graph, _weight(node), output_channels(node)
    if weight is None or channels is None or not isinstance(graph, ir.Graph) or after.graph is not graph:
        return False
    if affine.factor.shape != (channels,) or ((affine.factor != 1.0).any() and _is_shared(node)):
        return False
    bias = _bias(node, channels)
    if bias is None:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        new_weight = (weight.astype(np.float64) * _along_outputs(node, affine.factor, weight.shape)).astype(np.float32)
        # A bias that is a scalar, or left out, is one for each channel now.
        new_bias = (bias * affine.factor + affine.summand).astype(np.float32)
    if not (np.isfinite(new_weight).all() and np.isfinite(new_bias).all()):
        return False
    if not _write(builder, node, graph, new_weight if (affine.factor != 1.0).any() else None, new_bias):
        return False
    take_over_output(node, after)
    return True


def fold_preceding(builder: GraphBuilder, before: ir.Node, affine: Affine, node: ir.Node) -> bool:
    """Put `affine`, which `before` does to each channel that `node` reads, into the weights of `node`; remove `before`.

    False, and nothing is changed, where it is not exact: a convolution that pads reads zeros which `before` never saw.
    """
    graph, weight, channels = node.graph, _weight(node), output_channels(node)
    if weight is None or channels is None or not isinstance(graph, ir.Graph) or before.graph is not graph:
        return False
    if is_operator(node, "ConvTranspose") or not _reads_only_the_input(node) or _is_shared(node):
        return False
    bias = _bias(node, channels)
    factors = _along_inputs(node, affine.factor, weight.shape)
    summands = _along_inputs(node, affine.summand, weight.shape)
    if bias is None or factors is None or summands is None:
        return False
    wide = weight.astype(np.float64)
    # One sum for each output channel: over everything else that the weight has.
    others = tuple(range(1, weight.ndim)) if is_operator(node, "Conv") else (_input_axis(node),)
    scale = 1.0 if is_operator(node, "Conv") else float_attribute(node, "alpha", 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        new_weight = (wide * factors).astype(np.float32)
        new_bias = (bias + scale * (wide * summands).sum(axis=others)).astype(np.float32)
    if not (np.isfinite(new_weight).all() and np.isfinite(new_bias).all()):
        return False
    if not _write(builder, node, graph, new_weight, new_bias):
        return False
    source = before.inputs[0]
    assert source is not None
    ir.convenience.replace_all_uses_with(before.outputs[0], source)
    _remove(before)
    return True


def take_over_output(node: ir.Node, after: ir.Node) -> None:
    """Remove `after`, the only reader of `node`; `node` gives what it gave, under its name."""
    source, result = node.outputs[0], after.outputs[0]
    name, shape, kind = result.name, result.shape, result.type
    ir.convenience.replace_all_uses_with(result, source, replace_graph_outputs=True)
    _remove(after)
    source.name, source.shape, source.type = name, shape, kind


def _weight(node: ir.Node) -> np.ndarray | None:
    """float32, not empty."""
    if not is_operator(node, "Conv", "ConvTranspose", "Gemm", "MatMul") or len(node.inputs) < 2:
        return None
    weight = constant(node.inputs[1])
    if weight is None or weight.dtype != np.float32 or weight.size == 0:
        return None
    return None if is_operator(node, "Gemm", "MatMul") and weight.ndim != 2 else weight


def _is_shared(node: ir.Node) -> bool:
    """Whether the weight is a parameter of another node as well, as those of detectors' heads for several scales."""
    weight = node.inputs[1]
    return weight is not None and len(weight.uses()) > 1


def _bias(node: ir.Node, channels: int) -> np.ndarray | None:
    """What the node adds, float64, shaped to be broadcast against (channels,); None when that is not known."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None:
        return np.zeros(channels)
    bias = constant(value)
    if bias is None or bias.dtype != np.float32:
        return None
    if not is_operator(node, "Gemm"):
        return bias.astype(np.float64) if bias.shape == (channels,) else None
    # Any shape that is broadcast to (rows, channels), and it may be scaled; one that differs by row stays one.
    if bias.ndim > 2:
        return None
    wide = bias.astype(np.float64) * float_attribute(node, "beta", 1.0)
    return np.array(np.broadcast_to(wide, np.broadcast_shapes(wide.shape, (channels,))))


def _along_outputs(node: ir.Node, factor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One number per output channel, shaped to be multiplied with the weight."""
    channels = len(factor)
    if is_operator(node, "Conv"):
        return factor.reshape((channels,) + (1,) * (len(shape) - 1))
    if channels_are_last(node):
        return factor.reshape(-1, 1) if integer_attribute(node, "transB", 0) else factor
    groups = integer_attribute(node, "group", 1)
    # Of a grouped ConvTranspose, input channels choose the group, and so the output channel, of a weight.
    per_group = factor.reshape((groups, 1, channels // groups) + (1,) * (len(shape) - 2))
    spread = np.broadcast_to(per_group, (groups, shape[0] // groups, *per_group.shape[2:]))
    return spread.reshape((shape[0], channels // groups) + (1,) * (len(shape) - 2))


def _along_inputs(node: ir.Node, numbers: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """One number per input channel, shaped to be multiplied with the weight; None when there are others than these."""
    if channels_are_last(node):
        axis = _input_axis(node)
        return numbers.reshape((-1, 1) if axis == 0 else (1, -1)) if shape[axis] == len(numbers) else None
    groups = integer_attribute(node, "group", 1)
    if len(numbers) != shape[1] * groups or shape[0] % groups:
        return None
    per_group = numbers.reshape(groups, 1, shape[1])
    spread = np.broadcast_to(per_group, (groups, shape[0] // groups, shape[1])).reshape(shape[0], shape[1])
    return spread.reshape(spread.shape + (1,) * (len(shape) - 2))


def _input_axis(node: ir.Node) -> int:
    """The axis of a matrix that its product sums over."""
    return 1 if integer_attribute(node, "transB", 0) else 0


def _reads_only_the_input(node: ir.Node) -> bool:
    if is_operator(node, "Gemm"):
        return not integer_attribute(node, "transA", 0)
    if is_operator(node, "MatMul"):
        return output_rank(node) == 2
    automatic = node.attributes.get("auto_pad")
    mode = "NOTSET" if automatic is None else automatic.as_string()
    return mode == "VALID" or (mode == "NOTSET" and not any(integers_attribute(node, "pads") or ()))


def _write(builder: GraphBuilder, node: ir.Node, graph: ir.Graph, weight: np.ndarray | None, bias: np.ndarray) -> bool:
    """Give the node new weights (None: the old ones) and a bias; False when it cannot have one."""
    had_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    name = (node.inputs[1].name if node.inputs[1] is not None else None) or "weight"
    needs_bias = had_bias or bool(bias.any())
    if is_operator(node, "MatMul") and needs_bias:
        if output_rank(node) != 2:
            return False
        node.op_type = "Gemm"
    if weight is not None:
        replace_input(node, 1, builder.initializer(f"{name}_folded", weight, graph=graph))
    if needs_bias:
        node.resize_inputs(3)
        replace_input(node, 2, builder.initializer(f"{name}_bias", bias, graph=graph))
        node.attributes.pop("beta", None)
    return True


def _remove(node: ir.Node) -> None:
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    inputs = list(node.inputs)
    graph.remove(node, safe=True)
    for value in inputs:
        if value is not None:
            drop_if_unused(value)

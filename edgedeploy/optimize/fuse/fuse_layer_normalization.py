"""(x - mean) / √(variance + ε) · scale + bias over the last axes is one operator since opset 17."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.fuse.polynomials import scalar
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import (
    all_nodes,
    constant,
    integer_attribute,
    is_operator,
    only_consumer,
    opset,
)


class FuseLayerNormalization(Pass, frozen=True):
    """Recognize layer normalization written out, and make it one node.

    Layer normalization is from Ba, Kiros and Hinton 2016, https://arxiv.org/abs/1607.06450. Taken are both ways of
    computing the variance: the mean of (x - mean)², and the mean of x² less mean² (as JAX's Flax has it). Eight to
    twenty passes over the tensor become one, and no quantizer can tear the node apart.
    """

    # The kernel sums in another order, and takes the variance as the mean of squares less the square of the mean.
    tolerance: ClassVar[float | None] = 1e-4

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if opset(model) < 17 and any(_match(node) for node in all_nodes(model)):
            return (
                f"the model's operator set is {opset(model)}, and LayerNormalization needs 17 "
                "(put upgrade-opset before it)"
            )
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        builder = GraphBuilder(model)
        fused = 0
        for node in all_nodes(model):
            if node.graph is None or (match := _match(node)) is None:
                continue
            name = match.result.outputs[0].name or "layer_norm"
            inputs = [match.x, builder.initializer(f"{name}:scale", match.scale)]
            if match.bias is not None:
                inputs.append(builder.initializer(f"{name}:bias", match.bias))
            attributes = {"axis": -match.scale.ndim, "epsilon": match.epsilon}
            builder.replace_node(match.result, "LayerNormalization", inputs, attributes=attributes)
            fused += 1
        return model, {"fused": fused}


class _LayerNormMatch(Struct, frozen=True, kw_only=True, eq=False):
    x: ir.Value
    scale: np.ndarray
    """float32; its axes are those that are normalized over."""
    bias: np.ndarray | None
    """float32, shaped like `scale`."""
    epsilon: float
    result: ir.Node
    """The node that gives the normalized tensor."""


class _Mean(Struct, frozen=True, kw_only=True, eq=False):
    of: ir.Value
    axes: int
    """How many of the last axes."""


def _match(root: ir.Node) -> _LayerNormMatch | None:
    """The layer normalization that `root`, the square root of variance + ε, is in the middle of."""
    if not is_operator(root, "Sqrt") or root.inputs[0] is None:
        return None
    stable = root.inputs[0].producer()
    if stable is None or not is_operator(stable, "Add"):
        return None
    for position in (0, 1):
        epsilon = scalar(stable.inputs[position])
        spread = _variance(stable.inputs[1 - position])
        if epsilon is None or spread is None or epsilon < 0:
            continue
        x, axes, centered = spread
        if (found := _normalized(root, x, axes, centered)) is not None:
            node, factor = found
            return _with_bias(x, axes, epsilon, node, factor)
    return None


def _variance(value: ir.Value | None) -> tuple[ir.Value, int, ir.Value | None] | None:
    """The x that `value` is the variance of, over how many axes, and x - mean where the graph took it from that."""
    node = _producer(_unwrapped(value), "Max", "Relu")
    if node is not None:
        # JAX keeps rounding from giving a variance below zero; of real numbers it cannot.
        candidates = [value for value in node.inputs if scalar(value) != 0.0]
        if len(candidates) != 1:
            return None
        value = candidates[0]
    if (mean := _mean(value)) is not None:
        centered = _square_root(mean.of)
        difference = _producer(centered, "Sub")
        if difference is None:
            return None
        x, center = difference.inputs[0], _mean(difference.inputs[1])
        if x is None or center is None or center.of is not x or center.axes != mean.axes:
            return None
        return x, mean.axes, centered
    difference = _producer(_unwrapped(value), "Sub")
    if difference is None:
        return None
    of_squares, of_x = _mean(difference.inputs[0]), _mean(_square_root(difference.inputs[1]))
    if of_squares is None or of_x is None or of_squares.axes != of_x.axes:
        return None
    return (of_x.of, of_x.axes, None) if _square_root(of_squares.of) is of_x.of else None


def _normalized(
    root: ir.Node, x: ir.Value, axes: int, centered: ir.Value | None
) -> tuple[ir.Node, np.ndarray | None] | None:
    """The node that gives (x - mean) / root, and the factor that it was multiplied with on the way there."""

    def is_centered(value: ir.Value | None) -> bool:
        if value is not None and value is centered:
            return True
        node = _producer(value, "Sub")
        if node is None or node.inputs[0] is not x:
            return False
        mean = _mean(node.inputs[1])
        return mean is not None and mean.of is x and mean.axes == axes

    # A deviation that something else reads, too, would have to be computed all the same.
    reader = only_consumer(root.outputs[0])
    if reader is None or reader.graph is not root.graph:
        return None
    if is_operator(reader, "Div") and reader.inputs[1] is root.outputs[0] and is_centered(reader.inputs[0]):
        return reader, None
    if not is_operator(reader, "Reciprocal"):
        return None
    factor: np.ndarray | None = None
    after = only_consumer(reader.outputs[0])
    value = reader.outputs[0]
    while after is not None and after.graph is root.graph and is_operator(after, "Mul"):
        other = after.inputs[1] if after.inputs[0] is value else after.inputs[0]
        if is_centered(other):
            return after, factor
        array = constant(other)
        if array is None or factor is not None:
            return None
        factor, value, after = array, after.outputs[0], only_consumer(after.outputs[0])
    return None


def _with_bias(
    x: ir.Value, axes: int, epsilon: float, node: ir.Node, factor: np.ndarray | None
) -> _LayerNormMatch | None:
    """Take in the scale and the bias behind the normalized value."""
    extents = _last_extents(x, axes)
    if factor is None:
        after = only_consumer(node.outputs[0])
        if after is not None and after.graph is node.graph and is_operator(after, "Mul"):
            other = _other_constant(after, node.outputs[0])
            if other is not None and _fitted(other, axes, extents) is not None:
                node, factor = after, other
    if factor is None and extents is None:
        return None
    scale = np.ones(extents or (), np.float32) if factor is None else _fitted(factor, axes, extents)
    if scale is None:
        return None
    bias = None
    after = only_consumer(node.outputs[0])
    if after is not None and after.graph is node.graph and is_operator(after, "Add"):
        other = _other_constant(after, node.outputs[0])
        bias = None if other is None else _fitted(other, axes, scale.shape)
        if bias is not None:
            node = after
    return _LayerNormMatch(x=x, scale=scale, bias=bias, epsilon=epsilon, result=node)


def _fitted(array: np.ndarray, axes: int, extents: tuple[int, ...] | None) -> np.ndarray | None:
    """The constant over just the normalized axes; None when it varies along others, or is not float32."""
    if array.dtype != np.float32 or math.prod(array.shape[: max(array.ndim - axes, 0)]) != 1:
        return None
    inner = array.reshape(array.shape[max(array.ndim - axes, 0) :])
    if extents is None:
        # Without a shape to hold it against, an extent of one may be one that is repeated.
        return inner if inner.ndim == axes and 1 not in inner.shape else None
    try:
        return np.array(np.broadcast_to(inner, extents))
    except ValueError:
        return None


def _last_extents(x: ir.Value, axes: int) -> tuple[int, ...] | None:
    if x.shape is None or len(x.shape) < axes:
        return None
    extents = list(x.shape)[-axes:]
    known = tuple(extent for extent in extents if isinstance(extent, int) and extent > 0)
    return known if len(known) == axes else None


def _mean(value: ir.Value | None) -> _Mean | None:
    """What `value` is the mean of over its last axes, these kept with an extent of one."""
    kept = value
    value = _unwrapped(value)
    node = value.producer() if value is not None else None
    if node is None:
        return None
    if is_operator(node, "ReduceMean"):
        axes = _reduced(node)
        if axes is None or not _keeps(node, kept, axes):
            return None
        return _Mean(of=node.inputs[0], axes=axes) if node.inputs[0] is not None else None
    if not is_operator(node, "Mul", "Div"):
        return None
    for position in (0, 1) if is_operator(node, "Mul") else (0,):
        total = _producer(_unwrapped(node.inputs[position]), "ReduceSum")
        number = scalar(node.inputs[1 - position])
        source = None if total is None else total.inputs[0]
        if total is None or source is None or not number:
            continue
        axes = _reduced(total)
        extents = None if axes is None else _last_extents(source, axes)
        share = number if is_operator(node, "Mul") else 1.0 / number
        if axes is None or extents is None or not math.isclose(share * math.prod(extents), 1.0, rel_tol=1e-6):
            continue
        if _keeps(total, kept, axes):
            return _Mean(of=source, axes=axes)
    return None


def _reduced(node: ir.Node) -> int | None:
    """Over how many last axes the node reduces; None when over others, or when that is not known."""
    attribute = node.attributes.get("axes")
    axes = list(attribute.as_ints()) if attribute is not None else None
    if axes is None and len(node.inputs) > 1 and (array := constant(node.inputs[1])) is not None:
        axes = [int(axis) for axis in array.reshape(-1)]
    if not axes or node.inputs[0] is None:
        return None
    shape = node.inputs[0].shape
    if any(axis >= 0 for axis in axes):
        if shape is None:
            return None
        axes = [axis - len(shape) if axis >= 0 else axis for axis in axes]
    return len(axes) if sorted(axes) == list(range(-len(axes), 0)) else None


def _keeps(reduction: ir.Node, kept: ir.Value | None, axes: int) -> bool:
    """Whether `kept`, made of the reduction by `_unwrapped` nodes, lines up with what was reduced."""
    if kept is None:
        return False
    if integer_attribute(reduction, "keepdims", 1):
        return True
    source = reduction.inputs[0]
    if source is None or source.shape is None:
        return False
    if kept.shape is None or len(kept.shape) != len(source.shape):
        # The square of a mean, or a variance, that gets its axes back later.
        return kept.shape is not None and len(kept.shape) == len(source.shape) - axes
    return all(extent == 1 for extent in list(kept.shape)[-axes:])


def _unwrapped(value: ir.Value | None) -> ir.Value | None:
    """The value before nodes that only give back the axes that a reduction took."""
    while (node := _producer(value, "Reshape", "Expand", "Unsqueeze")) is not None:
        if value is None or value.shape is None or list(value.shape)[-1:] != [1]:
            break
        value = node.inputs[0]
    return value


def _square_root(value: ir.Value | None) -> ir.Value | None:
    """The value that `value` is the square of."""
    value = _unwrapped(value)
    node = _producer(value, "Mul", "Pow")
    if node is None:
        return None
    if is_operator(node, "Pow"):
        array = constant(node.inputs[1])
        return node.inputs[0] if array is not None and array.size == 1 and array.reshape(-1)[0] == 2 else None
    return node.inputs[0] if node.inputs[0] is node.inputs[1] else None


def _producer(value: ir.Value | None, *types: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and is_operator(node, *types) else None


def _other_constant(node: ir.Node, value: ir.Value) -> np.ndarray | None:
    return constant(node.inputs[1] if node.inputs[0] is value else node.inputs[0])

"""Conv, MatMul and Gemm nodes whose weights are known: what 8-bit kernels exist for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.edit import all_nodes, constant, float_attribute, integer_attribute, is_operator
from edgedeploy.optimize.graph.layer_filter import ALL_LAYERS, LayerFilter

LinearOperator = Literal["Conv", "MatMul", "Gemm"]


class Linear(Struct, frozen=True, kw_only=True, eq=False):
    """A node y = x · weight + bias."""

    node: ir.Node
    input: ir.Value
    weight: ir.Value
    bias: np.ndarray | None
    """float32, shape (channels,)."""
    channel_axis: int | None
    """The weight's axis of output channels; None when one scale has to do for all."""

    @property
    def operator(self) -> str:
        return self.node.op_type


class KeptFloat(Struct, frozen=True):
    """A node that stays in float, and why."""

    operator: str
    reason: str


def find_linear(
    model: ir.Model, operators: Sequence[LinearOperator], layer_filter: LayerFilter = ALL_LAYERS
) -> tuple[list[Linear], list[KeptFloat]]:
    """Find the nodes that can be quantized, and those of the same operators that cannot or are not to be.

    Layers that read one weight go together: when one of them stays in float, all do.
    """
    found: list[Linear] = []
    left: list[KeptFloat] = []
    for node in all_nodes(model):
        if not is_operator(node, *operators):
            continue
        outcome = (
            layer_filter.exclusion_reason((node.outputs[0].name or "",))
            or ("it is inside a subgraph" if node.graph is not model.graph else None)
            or _linear(node)
        )
        if isinstance(outcome, Linear):
            found.append(outcome)
        else:
            left.append(KeptFloat(node.op_type, outcome))
    # A weight that something else reads in float would have to stay in the file a second time.
    while shared := [layer for layer in found if not _read_only_by(layer.weight, found)]:
        left += [KeptFloat(layer.operator, "its weight is also read in float") for layer in shared]
        found = [layer for layer in found if layer not in shared]
    return found, left


def summary(left: Iterable[KeptFloat]) -> str:
    """Write the reasons, the most frequent first: `"2 MatMul: both operands are computed; 1 Gemm: …"`."""
    counts: dict[KeptFloat, int] = {}
    for entry in left:
        counts[entry] = counts.get(entry, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return "; ".join(f"{count} {entry.operator}: {entry.reason}" for entry, count in ordered)


def _linear(node: ir.Node) -> Linear | str:
    source = node.inputs[0]
    weight_value = node.inputs[1] if len(node.inputs) > 1 else None
    weight = constant(weight_value)
    if weight is None or weight_value is None:
        return "its weight is computed"
    if source is None or constant(source) is not None:
        return "its input is a constant"
    if weight.dtype != np.float32:
        return f"it computes in {weight.dtype}: export the model in float32"
    if weight.size == 0 or not np.isfinite(weight).all():
        return "its weight is empty or not finite"
    if is_operator(node, "MatMul"):
        # Of stacked matrices, or a vector, only one scale for all is defined by the kernels.
        axis = 1 if weight.ndim == 2 else None
        return Linear(node=node, input=source, weight=weight_value, bias=None, channel_axis=axis)
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(bias_value)
    if bias_value is not None and (bias is None or bias.dtype != np.float32):
        return "its bias is computed"
    axis = 0
    if is_operator(node, "Gemm"):
        if integer_attribute(node, "transA", 0) or float_attribute(node, "alpha", 1.0) != 1.0:
            return "it transposes or scales its input"
        if bias is not None and float_attribute(node, "beta", 1.0) != 1.0:
            return "it scales its bias"
        axis = 0 if integer_attribute(node, "transB", 0) else 1
    channels = weight.shape[axis]
    if bias is not None:
        # A Gemm's bias may be a scalar, a row or a whole matrix (ONNX, Gemm: unidirectional broadcasting).
        if bias.size not in (1, channels) or (bias.size != 1 and bias.shape[-1] != channels):
            return "its bias differs from row to row"
        bias = np.broadcast_to(bias.reshape(-1), (channels,))
        if not np.isfinite(bias).all():
            return "its bias is not finite"
    return Linear(node=node, input=source, weight=weight_value, bias=bias, channel_axis=axis)


def _read_only_by(weight: ir.Value, linear: Sequence[Linear]) -> bool:
    readers = {layer.node for layer in linear if layer.weight is weight}
    return not weight.is_graph_output() and all(use.node in readers and use.idx == 1 for use in weight.uses())

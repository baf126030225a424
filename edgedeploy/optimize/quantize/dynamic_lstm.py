"""LSTM layers that compute in 8 bits: onnxruntime's DynamicQuantizeLSTM.

It quantizes what goes in, and the hidden state, at each step, and keeps the weights in 8 bits in memory too. Source:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (com.microsoft.DynamicQuantizeLSTM).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import all_nodes, constant, drop_if_unused, integer_attribute, is_operator
from edgedeploy.optimize.graph.layer_filter import LayerFilter
from edgedeploy.optimize.graph.linear import KeptFloat
from edgedeploy.optimize.quantize.quant_params import quantize_weight

OPERATOR = "DynamicQuantizeLSTM"
DOMAIN = "com.microsoft"
_WEIGHTS = (1, 2)
"""Inputs W, (directions, 4 · hidden, input), and R, (directions, 4 · hidden, hidden)."""
_INPUTS = 8


def find_lstm(model: ir.Model, layer_filter: LayerFilter) -> tuple[list[ir.Node], list[KeptFloat]]:
    """Find the LSTM nodes of the main graph that can be quantized, and the others with the reason."""
    found, left = [], []
    for node in all_nodes(model):
        if not is_operator(node, "LSTM"):
            continue
        reason = (
            layer_filter.exclusion_reason([output.name or "" for output in node.outputs])
            or ("it is inside a subgraph" if node.graph is not model.graph else None)
            or _unsupported_reason(node)
        )
        if reason is None:
            found.append(node)
        else:
            left.append(KeptFloat("LSTM", reason))
    return found, left


def replace_lstm(builder: GraphBuilder, model: ir.Model, node: ir.Node) -> None:
    """Put a quantized layer in the place of an LSTM."""
    inputs = [*node.inputs, *[None] * (_INPUTS - len(node.inputs))]
    name = node.outputs[0].name or "lstm"
    parameters = []
    for index in _WEIGHTS:
        weight = constant(node.inputs[index])
        assert weight is not None
        integers, scales, zero_points = _quantized(weight)
        weight_name = f"{name}:{'input' if index == 1 else 'recurrent'}_weight"
        inputs[index] = builder.initializer(weight_name, integers)
        parameters += [
            builder.initializer(f"{weight_name}_scale", scales),
            builder.initializer(f"{weight_name}_zero_point", zero_points),
        ]
    # `layout` is 0 here, and the quantized operator has none.
    attributes = {key: attribute for key, attribute in node.attributes.items() if key != "layout"}
    graph = node.graph
    assert graph is not None
    outputs = builder.op_multi_out(
        OPERATOR,
        [*inputs, *parameters],
        [f"{name}:quantized"] * len(node.outputs),
        attributes=attributes,
        domain=DOMAIN,
        before=node,
    )
    for old, new in zip(node.outputs, outputs, strict=True):
        if old.name:
            builder.replace_value(old, new)
    weights = [node.inputs[index] for index in _WEIGHTS]
    graph.remove(node, safe=True)
    for value in weights:
        assert value is not None
        drop_if_unused(value)
    model.opset_imports[DOMAIN] = 1


def _unsupported_reason(node: ir.Node) -> str | None:
    for index in _WEIGHTS:
        weight = constant(node.inputs[index])
        if weight is None:
            return "its weights are computed"
        if weight.dtype != np.float32 or not np.isfinite(weight).all():
            return "its weights are not finite numbers of 32 bits"
    return "it has the batch first" if integer_attribute(node, "layout", 0) else None


def _quantized(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unsigned weights, turned as the kernel wants them, with a scale for each row of each gate.

    Unsigned, 128 above their signed value: see `QuantizeDynamic`.

    Args:
        weight: float32, (directions, rows, columns).

    Returns:
        uint8 (directions, columns, rows), float32 (directions, rows), uint8 (directions, rows).
    """
    directions, rows, columns = weight.shape
    integers, scales = quantize_weight(weight.reshape(directions * rows, columns), 0)
    unsigned = (integers.astype(np.int16) + 128).astype(np.uint8).reshape(weight.shape)
    return (
        np.ascontiguousarray(unsigned.transpose(0, 2, 1)),
        scales.reshape(directions, rows),
        np.full((directions, rows), 128, np.uint8),
    )

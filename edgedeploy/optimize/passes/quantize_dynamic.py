"""Weights in 8 bits; activations quantized as the model runs, with the range that each input turns out to have."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.contract import Context, Facts, Pass, PostconditionError
from edgedeploy.optimize.graph import add_initializer, all_nodes, constant, drop_if_unused, is_operator, opset
from edgedeploy.optimize.integers import quantize_weight
from edgedeploy.optimize.linear import Linear, find_linear, summary


class QuantizeDynamic(Pass, frozen=True):
    """Quantize the weights of MatMul and Gemm to 8 bits, and their inputs at run time. Never convolutions.

    A convolution quantized this way (ConvInteger) has one scale for all channels and is several times slower than
    float. Weights are stored unsigned, 128 above their signed value: the product of unsigned inputs with signed weights
    saturates on x86 without VNNI, that with unsigned ones nowhere, and the numbers are the same. The form is that of
    ONNX's MatMulInteger, https://onnx.ai/onnx/operators/onnx__MatMulInteger.html
    """

    essential: ClassVar[bool] = True
    quantizes: ClassVar[bool] = True

    operators: tuple[Literal["MatMul", "Gemm"], ...] = ("MatMul", "Gemm")
    per_channel: bool = True
    """One scale per output column of a weight, not one per weight."""

    def __post_init__(self) -> None:
        if not self.operators:
            raise ValueError("operators must name one at least")

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if opset(model) < 11:
            return f"the model's operator set is {opset(model)}, and it needs 11 (put upgrade-opset before it)"
        found, left = find_linear(model, self.operators)
        if not found:
            what = " or ".join(self.operators)
            return f"there is no {what} that can be quantized" + (f" ({summary(left)})" if left else "")
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        found, left = find_linear(model, self.operators)
        inputs: dict[ir.Value, tuple[ir.Value, ir.Value, ir.Value]] = {}
        for one in found:
            if one.input not in inputs:
                inputs[one.input] = _quantized_input(model.graph, one.input)
            self._replace(model.graph, one, inputs[one.input])
        model.graph.sort()
        return model, {
            "nodes_quantized": len(found),
            "nodes_left_in_float": len(left),
            "left_in_float": summary(left),
            "inputs_quantized": len(inputs),
        }

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        integer = sum(is_operator(node, "MatMulInteger") for node in all_nodes(after))
        was = sum(is_operator(node, "MatMulInteger") for node in all_nodes(before))
        if integer - was != facts["nodes_quantized"]:
            raise PostconditionError(f"{integer - was} MatMulInteger were made for {facts['nodes_quantized']} nodes")

    def _replace(self, graph: ir.Graph, one: Linear, quantized: tuple[ir.Value, ir.Value, ir.Value]) -> None:
        """y = (q · w) · (input scale · weight scale) + bias, with the product in 32-bit integers."""
        weight = constant(one.weight)
        assert weight is not None
        axis = one.channel_axis if self.per_channel else None
        if axis == 0:
            # A Gemm that transposes its weight; MatMulInteger does not.
            weight, axis = np.ascontiguousarray(weight.T), 1
        elif one.channel_axis == 0:
            weight = np.ascontiguousarray(weight.T)
        integers, scales = quantize_weight(weight, axis)
        unsigned = (integers.astype(np.int16) + 128).astype(np.uint8)
        result = one.node.outputs[0]
        name = result.name or "linear"
        weight_value = add_initializer(graph, f"{name}:weight", unsigned)
        weight_scale = add_initializer(graph, f"{name}:weight_scale", scales)
        # One zero point for all columns: kernels take it, and it is smaller.
        zero_point = add_initializer(graph, f"{name}:weight_zero_point", np.array(128, dtype=np.uint8))
        integer, input_scale, input_zero_point = quantized

        product = _add(graph, "MatMulInteger", [integer, weight_value, input_zero_point, zero_point], f"{name}:product")
        real = _add(graph, "Cast", [product], f"{name}:real", {"to": int(ir.DataType.FLOAT)})
        scale = _add(graph, "Mul", [input_scale, weight_scale], f"{name}:scale")
        output = _add(graph, "Mul", [real, scale], f"{name}:scaled")
        if one.bias is not None:
            output = _add(graph, "Add", [output, add_initializer(graph, f"{name}:bias", one.bias)], f"{name}:biased")
        _take_place(one.node, output)


def _quantized_input(graph: ir.Graph, value: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    name = value.name or "input"
    node = ir.node("DynamicQuantizeLinear", [value], num_outputs=3)
    for output, suffix in zip(node.outputs, ("quantized", "scale", "zero_point"), strict=True):
        output.name = f"{name}:{suffix}"
    graph.append(node)
    integer, scale, zero_point = node.outputs
    return integer, scale, zero_point


def _add(
    graph: ir.Graph, operator: str, inputs: list[ir.Value], name: str, attributes: dict[str, int] | None = None
) -> ir.Value:
    node = ir.node(operator, inputs, attributes or {})
    node.outputs[0].name = name
    graph.append(node)
    return node.outputs[0]


def _take_place(old: ir.Node, output: ir.Value) -> None:
    """Let `output` be what `old` gave, name included, and remove `old` with its weights."""
    graph, result = old.graph, old.outputs[0]
    assert isinstance(graph, ir.Graph)
    name, output.shape, output.type = result.name, result.shape, result.type
    inputs = [value for value in old.inputs if value is not None]
    ir.convenience.replace_all_uses_with(result, output, replace_graph_outputs=True)
    graph.remove(old, safe=True)
    output.name = name
    for value in inputs:
        drop_if_unused(value)

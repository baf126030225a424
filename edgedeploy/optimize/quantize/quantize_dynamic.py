"""Weights in 8 bits; activations quantized as the model runs, with the range that each input turns out to have."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass, PostconditionError
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import all_nodes, constant, is_operator, opset, remove_if_unused
from edgedeploy.optimize.graph.layer_filter import LayerFilter
from edgedeploy.optimize.graph.linear import KeptFloat, Linear, find_linear, summary
from edgedeploy.optimize.quantize.dynamic_lstm import OPERATOR, find_lstm, replace_lstm
from edgedeploy.optimize.quantize.quant_params import quantize_weight


class QuantizeDynamic(Pass, frozen=True):
    """Quantize the weights of MatMul, Gemm and LSTM to 8 bits, and their inputs at run time. Never convolutions.

    A convolution quantized this way (ConvInteger) has one scale for all channels and is several times slower than
    float. Weights are stored unsigned, 128 above their signed value: the product of unsigned inputs with signed weights
    saturates on x86 without VNNI, that with unsigned ones nowhere, and the numbers are the same. The form is that of
    ONNX's MatMulInteger, https://onnx.ai/onnx/operators/onnx__MatMulInteger.html; an LSTM becomes an operator that only
    onnxruntime has (`optimize.dynamic_lstm`).
    """

    essential: ClassVar[bool] = True
    reaches: ClassVar[Literal["work", "weights"] | None] = "work"
    quantizes: ClassVar[bool] = True

    operators: tuple[Literal["MatMul", "Gemm", "LSTM"], ...] = ("MatMul", "Gemm", "LSTM")
    per_channel: bool = True
    """One scale per output column of a weight, not one per weight."""
    keep_float: tuple[str, ...] = ()
    """Layers, by the name of their first output, that stay in float."""
    only: tuple[str, ...] = ()
    """If not empty, just these layers are quantized."""

    def __post_init__(self) -> None:
        if not self.operators:
            raise ValueError("operators must name one at least")

    @property
    def _layer_filter(self) -> LayerFilter:
        return LayerFilter(self.keep_float, self.only)

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if opset(model) < 11:
            return f"the model's operator set is {opset(model)}, and it needs 11 (put upgrade-opset before it)"
        linear, recurrent, left = self._find(model)
        if not linear and not recurrent:
            names = " or ".join(self.operators)
            return f"there is no {names} that can be quantized" + (f" ({summary(left)})" if left else "")
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        linear, recurrent, left = self._find(model)
        unknown = self._layer_filter.unknown(model)
        builder = GraphBuilder(model)
        inputs: dict[ir.Value, tuple[ir.Value, ...]] = {}
        for layer in linear:
            # What gave the input may have been replaced since it was found.
            source = layer.node.inputs[0]
            assert source is not None
            if source not in inputs:
                inputs[source] = _quantized_input(builder, source)
            self._replace(builder, layer, inputs[source])
        for node in recurrent:
            replace_lstm(builder, model, node)
        model.graph.sort()
        return model, {
            "nodes_quantized": len(linear) + len(recurrent),
            "nodes_left_in_float": len(left),
            "left_in_float": summary(left),
            "unknown_layers": unknown,
            "inputs_quantized": len(inputs),
        }

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        made = _integer_nodes(after) - _integer_nodes(before)
        if made != facts["nodes_quantized"]:
            raise PostconditionError(f"{made} integer operators were made for {facts['nodes_quantized']} nodes")

    def _find(self, model: ir.Model) -> tuple[list[Linear], list[ir.Node], list[KeptFloat]]:
        linear, left = find_linear(
            model, [operator for operator in self.operators if operator != "LSTM"], self._layer_filter
        )
        if "LSTM" not in self.operators:
            return linear, [], left
        recurrent, left_recurrent = find_lstm(model, self._layer_filter)
        return linear, recurrent, left + left_recurrent

    def _replace(self, builder: GraphBuilder, layer: Linear, quantized: tuple[ir.Value, ...]) -> None:
        """y = (q · w) · (input scale · weight scale) + bias, with the product in 32-bit integers."""
        weight = constant(layer.weight)
        assert weight is not None
        if layer.channel_axis == 0:
            # A Gemm that transposes its weight; MatMulInteger does not.
            weight = np.ascontiguousarray(weight.T)
        axis = 1 if self.per_channel and layer.channel_axis is not None else None
        integers, scales = quantize_weight(weight, axis)
        unsigned = (integers.astype(np.int16) + 128).astype(np.uint8)
        result = layer.node.outputs[0]
        name = result.name or "linear"
        # One zero point for all columns: kernels take it, and it is smaller.
        zero_point = builder.initializer(f"{name}:weight_zero_point", np.array(128, dtype=np.uint8))
        integer, input_scale, input_zero_point = quantized

        inputs = [integer, builder.initializer(f"{name}:weight", unsigned), input_zero_point, zero_point]
        product = builder.op("MatMulInteger", inputs, f"{name}:product")
        real = builder.op("Cast", [product], f"{name}:real", attributes={"to": int(ir.DataType.FLOAT)})
        scale = builder.op("Mul", [input_scale, builder.initializer(f"{name}:weight_scale", scales)], f"{name}:scale")
        output = builder.op("Mul", [real, scale], f"{name}:scaled")
        if layer.bias is not None:
            output = builder.op("Add", [output, builder.initializer(f"{name}:bias", layer.bias)], f"{name}:biased")
        builder.replace_value(result, output)
        remove_if_unused(layer.node)


def _integer_nodes(model: ir.Model) -> int:
    return sum(is_operator(node, "MatMulInteger") or node.op_type == OPERATOR for node in all_nodes(model))


def _quantized_input(builder: GraphBuilder, value: ir.Value) -> tuple[ir.Value, ...]:
    """The value's integers, their scale and their zero point."""
    name = value.name or "input"
    suffixes = ("quantized", "scale", "zero_point")
    return builder.op_multi_out("DynamicQuantizeLinear", [value], [f"{name}:{suffix}" for suffix in suffixes])

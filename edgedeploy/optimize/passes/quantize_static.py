"""Weights and activations in 8 bits, with scales that are fixed before the model runs."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.additions import Additions
from edgedeploy.optimize.calibration import DEFAULT_PERCENTILE, Method, calibrate
from edgedeploy.optimize.contract import Context, Facts, Pass, PostconditionError
from edgedeploy.optimize.graph import (
    all_nodes,
    constant,
    is_operator,
    only_consumer,
    opset,
    replace_input,
)
from edgedeploy.optimize.integers import Grid, activation_grid, quantize_bias, quantize_weight, signed_activations
from edgedeploy.optimize.layer_choice import LayerChoice
from edgedeploy.optimize.linear import Linear, LinearOperator, find_linear, summary

_QUANTIZED = tuple("QuantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul MatMulInteger ConvInteger".split())
# They move values and compute none: what was on a grid before is on it after, and a second grid would cost accuracy.
_MOVES_VALUES = ("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze")


class QuantizeStatic(Pass, frozen=True):
    """Quantize Conv, MatMul and Gemm to 8 bits in QDQ form: weights symmetric and signed, activations calibrated.

    Everything else stays in float: quantized LayerNorm, GELU and the like are what ruins models. A Conv's output is
    put on a grid, since integer convolutions give integers; a MatMul's and a Gemm's is not, since theirs can give
    floats. The scheme is that of Jacob et al. 2018 (https://arxiv.org/abs/1712.05877), the form
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html (QDQ).
    """

    essential: ClassVar[bool] = True
    quantizes: ClassVar[bool] = True
    needs_calibration: ClassVar[bool] = True

    operators: tuple[LinearOperator, ...] = ("Conv", "MatMul", "Gemm")
    per_channel: bool = True
    """One scale per output channel of a weight, not one per weight."""
    activations: Literal["auto", "s8", "u8"] = "auto"
    """Signed or unsigned; `auto` takes what the target multiplies without saturation."""
    calibration: Method = "min-max"
    """How ranges are chosen: `min-max`, `mean-min-max`, `percentile`, `entropy` or `mse` (optimize/calibration.py)."""
    calibration_samples: int = 0
    """At most this many; 0 takes all."""
    percentile: float = DEFAULT_PERCENTILE
    """Of the values that a range reaches to on either side, for the calibration of that name."""
    keep_float: tuple[str, ...] = ()
    """Layers, by the name of their first output, that stay in float."""
    only: tuple[str, ...] = ()
    """If not empty, just these layers are quantized."""

    def __post_init__(self) -> None:
        if not self.operators:
            raise ValueError("operators must name one at least")
        if self.calibration_samples < 0:
            raise ValueError("calibration_samples must not be negative")
        if not 50 < self.percentile <= 100:
            raise ValueError("percentile must be above 50 and at most 100")

    @property
    def _choice(self) -> LayerChoice:
        return LayerChoice(self.keep_float, self.only)

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if context.calibration is None:
            return "it needs calibration data"
        needed = 13 if self.per_channel else 10
        if opset(model) < needed:
            return f"the model's operator set is {opset(model)}, and it needs {needed} (put upgrade-opset before it)"
        if any(is_operator(node, *_QUANTIZED) for node in all_nodes(model)):
            return "the model is quantized already"
        found, left = find_linear(model, self.operators, self._choice)
        if not found:
            what = " or ".join(self.operators)
            return f"there is no {what} that can be quantized" + (f" ({summary(left)})" if left else "")
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        found, left = find_linear(model, self.operators, self._choice)
        unknown = self._choice.unknown(model)
        whole = {_quantized_output(one.node): one for one in found if one.operator == "Conv"}
        tensors = list(dict.fromkeys((*(one.input for one in found), *whole)))
        names = [value.name or "" for value in tensors]
        seen = calibrate(
            model,
            names,
            context,
            method=self.calibration,
            limit=self.calibration_samples,
            percentile=self.percentile,
        )
        signed = signed_activations(self.activations, context.target)
        grids = {value: activation_grid(seen.ranges[value.name or ""], signed=signed) for value in tensors}
        for value in tensors:
            grids[value] = grids[_origin(value, grids)]

        additions = Additions(model)
        readers: dict[ir.Value, list[Linear]] = {value: [] for value in tensors}
        for one in found:
            readers[one.input].append(one)
        for one in found:
            self._quantize_weights(additions, one, grids[one.input])
        for value in tensors:
            _quantize_activation(additions, value, grids[value], None if value in whole else readers[value])
        model.graph.sort()
        return model, {
            "nodes_quantized": len(found),
            "nodes_left_in_float": len(left),
            "left_in_float": summary(left),
            "unknown_layers": unknown,
            "activation_tensors": len(tensors),
            "activation_type": "s8" if signed else "u8",
            "calibration_samples": seen.samples,
        }

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        for node in after.graph:
            if not is_operator(node, "QuantizeLinear", "DequantizeLinear"):
                continue
            scale = constant(node.inputs[1])
            if scale is None or not (np.isfinite(scale) & (scale > 0)).all():
                raise PostconditionError(f"{node.op_type} {node.name!r} has a scale that is not a positive number")
        weights = {one.weight.name for one in find_linear(before, self.operators, self._choice)[0]}
        if kept := sorted(name for name in weights & set(after.graph.initializers) if name):
            raise PostconditionError(f"the float copy of weight {kept[0]!r} is still in the model")

    def _quantize_weights(self, at: Additions, one: Linear, grid: Grid) -> None:
        """Put a DequantizeLinear between the node and its weight, and its bias."""
        weight = constant(one.weight)
        assert weight is not None
        axis = one.channel_axis if self.per_channel else None
        integers, scales = quantize_weight(weight, axis, bias=one.bias, input_scale=grid.scale)
        # Named after the node: a weight may be shared, and its readers' scales may differ.
        name = one.node.outputs[0].name or "linear"
        replace_input(one.node, 1, _dequantized(at, f"{name}:weight", integers, scales, axis))
        if one.bias is not None:
            bias_scales = (np.float64(grid.scale) * scales.astype(np.float64)).astype(np.float32)
            bias = quantize_bias(one.bias, bias_scales)
            bias_axis = 0 if axis is not None else None
            replace_input(one.node, 2, _dequantized(at, f"{name}:bias", bias, bias_scales, bias_axis))


def _quantized_output(node: ir.Node) -> ir.Value:
    """The value behind a Conv that goes on a grid: behind its activation where the grid's bounds can do that work."""
    reader = only_consumer(node.outputs[0])
    if reader is not None and reader.graph is node.graph and is_operator(reader, "Relu", "Clip"):
        bounds = [value for value in reader.inputs[1:] if value is not None]
        if all(constant(bound) is not None for bound in bounds):
            return reader.outputs[0]
    return node.outputs[0]


def _origin(value: ir.Value, grids: dict[ir.Value, Grid]) -> ir.Value:
    """The quantized value whose elements `value` only moves; itself when there is none."""
    source: ir.Value | None = value
    while source is not None and (node := source.producer()) is not None and is_operator(node, *_MOVES_VALUES):
        source = node.inputs[0]
        if source in grids:
            return _origin(source, grids)
    return value


def _dequantized(at: Additions, name: str, integers: np.ndarray, scales: np.ndarray, axis: int | None) -> ir.Value:
    inputs = [
        at.weight(f"{name}:quantized", integers),
        at.weight(f"{name}:scale", scales),
        at.weight(f"{name}:zero_point", np.zeros(scales.shape, dtype=integers.dtype)),
    ]
    attributes = {} if axis is None else {"axis": axis}
    return at.node("DequantizeLinear", inputs, f"{name}:dequantized", attributes=attributes)


def _quantize_activation(at: Additions, value: ir.Value, grid: Grid, readers: list[Linear] | None) -> None:
    """Put a QuantizeLinear and a DequantizeLinear behind `value`, for these readers; None: for all."""
    name = value.name or "activation"
    scale = at.weight(f"{name}:scale", np.array(grid.scale, dtype=np.float32))
    zero_point = at.weight(f"{name}:zero_point", np.array(grid.zero_point, dtype=grid.dtype))
    quantized = at.node("QuantizeLinear", [value, scale, zero_point], f"{name}:quantized")
    result = at.node("DequantizeLinear", [quantized, scale, zero_point], f"{name}:dequantized", like=value)
    if readers is not None:
        for reader in readers:
            reader.node.replace_input_with(0, result)
        return
    quantizer = quantized.producer()
    assert quantizer is not None
    if value.is_graph_output():
        at.take_place(value, result)
    else:
        ir.convenience.replace_all_uses_with(value, result)
    quantizer.replace_input_with(0, value)

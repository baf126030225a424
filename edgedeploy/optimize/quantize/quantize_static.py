"""Weights and activations in 8 bits, with scales that are fixed before the model runs."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import onnx_ir as ir
from msgspec import structs

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.optimize.base import Context, Facts, Pass, PostconditionError
from edgedeploy.optimize.graph.edit import all_nodes, constant, copy_of, is_operator, opset
from edgedeploy.optimize.graph.layer_filter import LayerFilter
from edgedeploy.optimize.graph.linear import LinearOperator, find_linear, summary
from edgedeploy.optimize.quantize.calibration import DEFAULT_PERCENTILE, Method, calibrate
from edgedeploy.optimize.quantize.elementwise_qdq import (
    ELEMENTWISE,
    ElementwiseName,
    find_elementwise,
    is_moved_into_branch,
    origin,
    quantized_output,
)
from edgedeploy.optimize.quantize.layout_fences import fence, write_out_axes
from edgedeploy.optimize.quantize.noisy_layers import NoisyLayers, find_noisy_layers
from edgedeploy.optimize.quantize.qdq import QdqInserter
from edgedeploy.optimize.quantize.quant_params import WEIGHT_MAX, QuantParams, activation_params, weight_max
from edgedeploy.optimize.quantize.useful_range import useful_range

_QUANTIZED = tuple("QuantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul MatMulInteger ConvInteger".split())

_KEPT, _BETWEEN = "kept_in_float", ", "
"""The fact that names layers, and what stands between them."""


class QuantizeStatic(Pass, frozen=True):
    """Quantize Conv, MatMul and Gemm to 8 bits in QDQ form: weights symmetric and signed, activations calibrated.

    What lies between these layers computes in integers too, where kernels exist; everything else stays in float:
    quantized LayerNorm, GELU and the like are what ruins models. A Conv's output is put on a grid, since integer
    convolutions give integers; a MatMul's and a Gemm's is not, since theirs can give floats. The scheme is that of
    Jacob et al. 2018 (https://arxiv.org/abs/1712.05877), the form
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html (QDQ).
    """

    essential: ClassVar[bool] = True
    reaches: ClassVar[Literal["work", "weights"] | None] = "work"
    quantizes: ClassVar[bool] = True
    needs_calibration: ClassVar[bool] = True

    operators: tuple[LinearOperator, ...] = ("Conv", "MatMul", "Gemm")
    between: tuple[ElementwiseName, ...] = ELEMENTWISE
    """Operators between quantized layers that compute in integers too, where nothing else reads or gives floats."""
    per_channel: bool = True
    """One scale per output channel of a weight, not one per weight."""
    activations: Literal["auto", "s8", "u8"] = "auto"
    """Signed or unsigned. `auto` is unsigned: onnxruntime has integer kernels for unsigned activations on Arm and on
    x86-64, but for signed ones on Arm only; elsewhere it makes them unsigned where it can, and else computes in float
    (session.qdqisint8allowed)."""
    calibration: Method = "min-max"
    """How ranges are chosen: `min-max`, `mean-min-max`, `percentile`, `entropy` or `mse` (`quantize.calibration`)."""
    calibration_samples: int = 0
    """At most this many; 0 takes all."""
    percentile: float = DEFAULT_PERCENTILE
    """Of the values that a range reaches to on either side, for the calibration of that name."""
    keep_float: tuple[str, ...] = ()
    """Layers, by the name of their first output, that stay in float."""
    only: tuple[str, ...] = ()
    """If not empty, just these layers are quantized."""
    float_share: float = 0.0
    """Of all weights and of all work, at most this much may stay in float, in the layers where that brings most, if an
    output or a group of its channels would be too noisy otherwise (`quantize.noisy_layers`); 0 looks for none."""

    def __post_init__(self) -> None:
        if not self.operators:
            raise ValueError("operators must name one at least")
        if self.calibration_samples < 0:
            raise ValueError("calibration_samples must not be negative")
        if not 50 < self.percentile <= 100:
            raise ValueError("percentile must be above 50 and at most 100")
        if not 0 <= self.float_share < 1:
            raise ValueError("float_share must be 0 at least and under 1")

    @property
    def _signed(self) -> bool:
        return self.activations == "s8"

    @property
    def _layer_filter(self) -> LayerFilter:
        return LayerFilter(self.keep_float, self.only)

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if context.calibration is None:
            return "it needs calibration data"
        needed = 13 if self.per_channel else 10
        if opset(model) < needed:
            return f"the model's operator set is {opset(model)}, and it needs {needed} (put upgrade-opset before it)"
        if any(is_operator(node, *_QUANTIZED) for node in all_nodes(model)):
            return "the model is quantized already"
        found, left = find_linear(model, self.operators, self._layer_filter)
        if not found:
            names = " or ".join(self.operators)
            return f"there is no {names} that can be quantized" + (f" ({summary(left)})" if left else "")
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        noisy = self._noisy_layers(model, context) if self.float_share else None
        if noisy is None or not noisy.names:
            return self._quantized(model, context)
        kept = structs.replace(self, keep_float=(*self.keep_float, *noisy.names))
        result, facts = kept._quantized(model, context)
        return result, {
            **facts,
            _KEPT: _BETWEEN.join(noisy.names),
            "noisiest_group_before_db": round(noisy.before_db, 1),
            "noisiest_group_after_db": round(noisy.after_db, 1),
        }

    def _noisy_layers(self, model: ir.Model, context: Context) -> NoisyLayers | None:
        layers, _ = find_linear(model, self.operators, self._layer_filter)
        if context.calibration is None or len(layers) < 2:
            return None

        def quantized(names: tuple[str, ...]) -> ir.Model:
            kept = structs.replace(self, keep_float=(*self.keep_float, *names))
            return kept._quantized(copy_of(model), context)[0]

        try:
            return find_noisy_layers(
                model, layers, quantized, context.calibration, share=self.float_share, progress=context.progress
            )
        except EdgedeployError:
            # What does not run is not refused here: the pipeline's own probes say so.
            return None

    def _quantized(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        written_out = fenced = 0
        if any(layer.operator == "Conv" for layer in find_linear(model, self.operators, self._layer_filter)[0]):
            written_out, fenced = write_out_axes(model), fence(model)
        found, left = find_linear(model, self.operators, self._layer_filter)
        elementwise = find_elementwise(model, found, self.between, self._layer_filter)
        unknown = self._layer_filter.unknown(model)
        whole = [quantized_output(layer.node) for layer in found if layer.operator == "Conv"]
        whole += [operator.output for operator in elementwise]
        whole = [value for value in whole if not is_moved_into_branch(value)]
        read = (*(layer.input for layer in found), *(value for operator in elementwise for value in operator.inputs))
        tensors = list(dict.fromkeys((*read, *whole)))
        params_of, samples = self._params(model, tensors, context)
        largest = weight_max(context.target)
        inserter = QdqInserter(model, signed=self._signed, weight_max=largest, per_channel=self.per_channel)
        for layer in found:
            inserter.quantize_linear(layer, params_of[layer.input])
        for operator in elementwise:
            inserter.quantize_elementwise(operator)
        for value in tensors:
            inserter.quantize_value(value, params_of[value], for_all=value in whole)
        model.graph.sort()
        return model, {
            "nodes_quantized": len(found),
            "nodes_between_in_integers": len(elementwise),
            "nodes_left_in_float": len(left),
            "left_in_float": summary(left),
            "unknown_layers": unknown,
            "activation_tensors": len(tensors),
            "activation_type": "s8" if self._signed else "u8",
            "weight_max": largest,
            # There onnxruntime makes signed activations unsigned.
            "saturates_on": "x86-64 without VNNI" if largest > WEIGHT_MAX // 2 else "none",
            "calibration_samples": samples,
            "axes_written_out": written_out,
            "nodes_fenced": fenced,
        }

    def _params(
        self, model: ir.Model, tensors: list[ir.Value], context: Context
    ) -> tuple[dict[ir.Value, QuantParams], int]:
        """The parameters of each activation, from calibration, and on how many samples; see `calibrate` for errors.

        Values whose elements are only moved share those of the value that they come from.
        """
        calibrated = calibrate(
            model,
            [value.name or "" for value in tensors],
            context,
            method=self.calibration,
            limit=self.calibration_samples,
            percentile=self.percentile,
        )
        ranges = calibrated.ranges
        params_of = {
            value: activation_params(useful_range(value, ranges[value.name or ""]), signed=self._signed)
            for value in tensors
        }
        for value in tensors:
            params_of[value] = params_of[origin(value, params_of)]
        return params_of, calibrated.samples

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        for node in after.graph:
            if not is_operator(node, "QuantizeLinear", "DequantizeLinear"):
                continue
            scale = constant(node.inputs[1])
            if scale is None or not (np.isfinite(scale) & (scale > 0)).all():
                raise PostconditionError(f"{node.op_type} {node.name!r} has a scale that is not a positive number")
        kept = str(facts.get(_KEPT, "")).split(_BETWEEN)
        layer_filter = LayerFilter((*self.keep_float, *kept), self.only)
        weights = {layer.weight.name for layer in find_linear(before, self.operators, layer_filter)[0]}
        if copies := sorted(name for name in weights & set(after.graph.initializers) if name):
            raise PostconditionError(f"the float copy of weight {copies[0]!r} is still in the model")

"""A pass that adds to each bias the mean error that quantization causes in the layer's output."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped
from edgedeploy.optimize.graph.activation_tap import ActivationTap
from edgedeploy.optimize.graph.builder import Attributes, GraphBuilder
from edgedeploy.optimize.graph.edit import constant, integer_attribute, is_operator, opset, replace_input
from edgedeploy.optimize.recover.quantized_layers import (
    HeldOut,
    QuantizedLayer,
    quantized_layers,
    reference_of,
    seen_samples,
)

_BIAS_MAX = 2**31 - 1


class CorrectBias(Pass, frozen=True):
    """Add to each quantized layer's bias what quantizing took from the mean of its output, channel by channel.

    Rounded weights give outputs whose mean is off, and the layers behind take that for a signal. The mean error of each
    channel is measured on calibration data: the layer in float minus the layer with its weight and input as quantized,
    both on what the float model feeds it, so that each layer answers for its own error only and one pass over the data
    is enough (Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction,
    https://arxiv.org/abs/1906.04721, section 4.2 and appendix D). Put it behind the quantizer. It is undone when the
    outputs on samples that are held out do not come closer to the float model's.
    """

    needs_calibration: ClassVar[bool] = True

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if context.calibration is None:
            return "it needs calibration data"
        if context.reference is None:
            return "nothing was quantized before it (put it behind a quantizer)"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        reference = reference_of(context)
        layers = [layer for layer in quantized_layers(model, reference) if _takes_bias(layer)]
        if not layers:
            raise PassSkipped("no quantized layer has a bias that it could correct")
        held_out = HeldOut(context)
        before_db = held_out.sqnr_db(model)
        errors = mean_errors(reference, layers, context)
        builder = GraphBuilder(model)
        corrected = sum(_correct(builder, layer, errors[layer.name]) for layer in layers)
        model.graph.sort()
        after_db = held_out.require_improvement(model, before_db)
        return model, {
            "layers_corrected": corrected,
            "sqnr_before_db": round(before_db, 2),
            "sqnr_after_db": round(after_db, 2),
        }


def _takes_bias(layer: QuantizedLayer) -> bool:
    """Whether there is a bias of one number per channel, or room for one."""
    if is_operator(layer.node, "MatMul"):
        return False
    if len(layer.node.inputs) < 3 or layer.node.inputs[2] is None:
        return True
    return _bias(layer.node.inputs[2]) is not None


def _bias(value: ir.Value | None) -> tuple[np.ndarray, np.ndarray | None] | None:
    """A bias with one number per channel: in float, or 32-bit integers with their scales."""
    if value is None:
        return None
    if (array := constant(value)) is not None:
        return (array, None) if array.dtype == np.float32 and array.ndim == 1 else None
    node = value.producer()
    if node is None or not is_operator(node, "DequantizeLinear"):
        return None
    integers, scales = constant(node.inputs[0]), constant(node.inputs[1])
    if integers is None or scales is None or integers.dtype != np.int32 or integers.ndim != 1:
        return None
    return integers, scales


def mean_errors(reference: ir.Model, layers: list[QuantizedLayer], context: Context) -> dict[str, np.ndarray]:
    """Measure, for each layer, the mean over samples and positions of float minus quantized.

    Args:
        reference: the model before it was quantized.
        layers: layers of it, and their quantized weights.
        context: has the calibration data.

    Returns:
        By the layer's name; float64, shape (channels,).

    Raises:
        PassSkipped: there is no sample to look at.
    """
    assert context.calibration is not None
    watched = reference.clone()
    tap = ActivationTap(watched, _add_twins(watched, layers))
    sums = [np.zeros(()) for _ in layers]
    samples = 0
    for sample in seen_samples(context.calibration):
        for index, output in enumerate(tap.run(sample.feed)):
            sums[index] = sums[index] + output.astype(np.float64)
        samples += 1
        context.progress.advance(samples, context.calibration.count, "samples")
    if not samples:
        raise PassSkipped("there are too few calibration samples to see a mean")
    return {layer.name: total / samples for layer, total in zip(layers, sums, strict=True)}


def _add_twins(model: ir.Model, layers: list[QuantizedLayer]) -> list[str]:
    """Add to the float model a quantized twin beside each layer; return the names of their mean differences.

    The mean is taken within the graph, so that one number per channel leaves the runtime: float32, shape (channels,).
    """
    nodes = {node.outputs[0].name: node for node in model.graph if node.outputs}
    builder = GraphBuilder(model)
    means = []
    for layer in layers:
        node = nodes[layer.name]
        twin = _add_twin(builder, node, layer)
        difference = builder.op("Sub", [node.outputs[0], twin], f"{layer.name}:difference")
        axes = (0, *range(2, layer.weight.ndim)) if is_operator(node, "Conv") else (0,)
        means.append(_add_mean(builder, difference, axes, f"{layer.name}:mean", opset(model)).name or "")
    return means


def _add_twin(builder: GraphBuilder, node: ir.Node, layer: QuantizedLayer) -> ir.Value:
    source = node.inputs[0]
    if layer.input_params is not None:
        scale = builder.initializer(f"{layer.name}:twin_scale", layer.input_params.scale)
        zero = builder.initializer(f"{layer.name}:twin_zero", layer.input_params.zero_point)
        integers = builder.op("QuantizeLinear", [source, scale, zero], f"{layer.name}:twin_integers")
        source = builder.op("DequantizeLinear", [integers, scale, zero], f"{layer.name}:twin_input")
    inputs = [source, builder.initializer(f"{layer.name}:twin_weight", layer.weight), *node.inputs[2:]]
    return builder.op(node.op_type, inputs, f"{layer.name}:twin", attributes=node.attributes)


def _add_mean(builder: GraphBuilder, value: ir.Value, axes: tuple[int, ...], name: str, opset_version: int) -> ir.Value:
    if opset_version < 18:
        attributes: Attributes = {"axes": axes, "keepdims": 0}
        return builder.op("ReduceMean", [value], name, dtype=ir.DataType.FLOAT, attributes=attributes)
    operand = builder.initializer(f"{name}:axes", np.array(axes, dtype=np.int64))
    return builder.op("ReduceMean", [value, operand], name, dtype=ir.DataType.FLOAT, attributes={"keepdims": 0})


def _correct(builder: GraphBuilder, layer: QuantizedLayer, error: np.ndarray) -> bool:
    """Add the error to the bias; whether that changed it."""
    node = layer.node
    value = node.inputs[2] if len(node.inputs) > 2 else None
    name = f"{layer.name}:corrected_bias"
    bias = _bias(value)
    if bias is None:
        if is_operator(node, "Gemm") and integer_attribute(node, "transA", 0):
            return False
        added = builder.initializer(name, error.astype(np.float32))
        node.resize_inputs(3)
        node.replace_input_with(2, added)
        return True
    array, scales = bias
    if array.shape != error.shape:
        return False
    assert value is not None
    if scales is None:
        replace_input(node, 2, builder.initializer(name, (array + error).astype(np.float32)))
        return True
    steps = np.rint(error / scales.astype(np.float64))
    if not steps.any():
        return False
    integers = np.clip(array.astype(np.float64) + steps, -_BIAS_MAX, _BIAS_MAX).astype(np.int32)
    producer = value.producer()
    assert producer is not None
    replace_input(producer, 0, builder.initializer(name, integers))
    return True

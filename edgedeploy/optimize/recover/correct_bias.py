"""Biases that take the mean of what quantizing shifted."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import constant, integer_attribute, is_operator, opset, replace_input, serialized
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
        errors = _mean_errors(reference, layers, context)
        builder = GraphBuilder(model)
        corrected = sum(_correct(builder, layer, errors[layer.name]) for layer in layers)
        model.graph.sort()
        after_db = held_out.sqnr_db(model)
        if not after_db > before_db:
            raise PassSkipped(
                f"it does not help: SQNR on samples held out is {before_db:.2f} dB without it, {after_db:.2f} with it"
            )
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


def _mean_errors(reference: ir.Model, layers: list[QuantizedLayer], context: Context) -> dict[str, np.ndarray]:
    """Of each layer, the mean over samples and positions of float minus quantized: float64, shape (channels,)."""
    assert context.calibration is not None
    session = HostSession(_with_twins(reference, layers), exact=False)
    sums = [np.zeros(()) for _ in layers]
    samples = 0
    for sample in seen_samples(context.calibration):
        for index, output in enumerate(session.run(sample.feed)):
            sums[index] = sums[index] + output.astype(np.float64)
        samples += 1
        context.progress.advance(samples, context.calibration.count, "samples")
    if not samples:
        raise PassSkipped("there are too few calibration samples to see a mean")
    return {layer.name: total / samples for layer, total in zip(layers, sums, strict=True)}


def _with_twins(reference: ir.Model, layers: list[QuantizedLayer]) -> bytes:
    """The reference with a quantized twin beside each layer, and their mean difference per channel as the outputs."""
    watched = reference.clone()
    values = {node.outputs[0].name: node for node in watched.graph if node.outputs}
    builder = GraphBuilder(watched)
    outputs = []
    for layer in layers:
        node = values[layer.name]
        source = node.inputs[0]
        if layer.grid is not None:
            scale = builder.initializer(f"{layer.name}:twin_scale", layer.grid.scale)
            zero = builder.initializer(f"{layer.name}:twin_zero", layer.grid.zero_point)
            integers = builder.op("QuantizeLinear", [source, scale, zero], f"{layer.name}:twin_integers")
            source = builder.op("DequantizeLinear", [integers, scale, zero], f"{layer.name}:twin_input")
        weight = builder.initializer(f"{layer.name}:twin_weight", layer.weight)
        twin = builder.op(
            node.op_type, [source, weight, *node.inputs[2:]], f"{layer.name}:twin", attributes=node.attributes
        )
        difference = builder.op("Sub", [node.outputs[0], twin], f"{layer.name}:difference")
        weight_rank = layer.weight.ndim
        axes = (0, *range(2, weight_rank)) if is_operator(node, "Conv") else (0,)
        name = f"{layer.name}:mean"
        if opset(watched) >= 18:
            given = builder.initializer(f"{layer.name}:axes", np.array(axes, dtype=np.int64))
            mean = builder.op("ReduceMean", [difference, given], name, attributes={"keepdims": 0})
        else:
            mean = builder.op("ReduceMean", [difference], name, attributes={"axes": axes, "keepdims": 0})
        mean.type, mean.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([None])
        outputs.append(mean)
    watched.graph.outputs.clear()
    watched.graph.outputs.extend(outputs)
    watched.graph.sort()
    return serialized(watched)


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

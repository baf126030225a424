"""The QuantizeLinear and DequantizeLinear nodes that make a graph compute in integers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import (
    constant,
    drop_if_unused,
    float_attribute,
    is_operator,
    only_consumer,
    replace_input,
)
from edgedeploy.optimize.graph.linear import Linear
from edgedeploy.optimize.quantize.elementwise_qdq import ElementwiseNode
from edgedeploy.optimize.quantize.quant_params import QuantParams, quantize_bias, quantize_weight


class QdqInserter:
    """Puts these nodes into one model's main graph, which is to be sorted afterwards.

    Layers and the nodes between them are taken first; then values are put on grids, for those that were taken.
    """

    def __init__(self, model: ir.Model, *, signed: bool, weight_max: int, per_channel: bool) -> None:
        """
        Args:
            signed: whether activations are.
            weight_max: the largest integer that a weight becomes.
            per_channel: one scale per output channel of a weight.
        """
        self._builder = GraphBuilder(model)
        self._signed = signed
        self._weight_max = weight_max
        self._per_channel = per_channel
        self._taken: set[ir.Node] = set()
        self._now: dict[ir.Value, ir.Value | None] = {}
        """What became of values whose nodes were replaced; None: it is on its grid already."""

    def quantize_linear(self, layer: Linear, params: QuantParams) -> None:
        """Store the weight and the bias of a layer in integers; its input has the parameters `params`."""
        weight = constant(layer.weight)
        assert weight is not None
        axis = layer.channel_axis if self._per_channel else None
        integers, scales = quantize_weight(
            weight, axis, bias=layer.bias, input_scale=params.scale, weight_max=self._weight_max
        )
        # Named after the node: a weight may be shared, and its readers' scales may differ.
        name = layer.node.outputs[0].name or "linear"
        replace_input(layer.node, 1, self._known(f"{name}:weight", integers, scales, axis))
        if layer.bias is not None:
            bias_scales = (np.float64(params.scale) * scales.astype(np.float64)).astype(np.float32)
            bias = quantize_bias(layer.bias, bias_scales)
            replace_input(
                layer.node, 2, self._known(f"{name}:bias", bias, bias_scales, 0 if axis is not None else None)
            )
        self._taken.add(layer.node)

    def quantize_elementwise(self, operator: ElementwiseNode) -> None:
        """Prepare a node between layers for integers."""
        if is_operator(operator.node, "HardSigmoid"):
            self._replace_hard_sigmoid(operator.node)
        elif is_operator(operator.node, "HardSwish"):
            self._replace_hard_swish(operator.node)
        else:
            for position, value in enumerate(operator.node.inputs):
                if (known := constant(value)) is not None:
                    replace_input(operator.node, position, self._number(f"{operator.output.name}:operand", known))
            self._taken.add(operator.node)

    def quantize_value(self, value: ir.Value, params: QuantParams, *, for_all: bool) -> None:
        """Put a QuantizeLinear and a DequantizeLinear behind `value`: for all that read it, or for what was taken.

        An activation function that only cuts off what the grid cuts off too is removed.
        """
        current = self._now.get(value, value)
        if current is None:
            return
        readers = [(use.node, use.idx) for use in current.uses() if use.node in self._taken]
        quantized, result = self._pair(current, params, current.name or "activation")
        if not for_all:
            for node, position in readers:
                node.replace_input_with(position, result)
            return
        quantizer = quantized.producer()
        assert quantizer is not None
        if current.is_graph_output():
            self._builder.replace_value(current, result)
        else:
            ir.convenience.replace_all_uses_with(current, result)
        quantizer.replace_input_with(0, current)
        _skip_activation(quantizer, params)

    def _pair(
        self, value: ir.Value, params: QuantParams, name: str, read_scale: float | None = None
    ) -> tuple[ir.Value, ir.Value]:
        """The integers, and the numbers that they stand for; `read_scale` if these are in other units."""
        scale = self._builder.initializer(f"{name}:scale", np.array(params.scale, dtype=np.float32))
        zero_point = self._builder.initializer(f"{name}:zero_point", np.array(params.zero_point, dtype=params.dtype))
        quantized = self._builder.op("QuantizeLinear", [value, scale, zero_point], f"{name}:quantized")
        if read_scale is not None:
            scale = self._builder.initializer(f"{name}:unit", np.array(read_scale, dtype=np.float32))
        result = self._builder.op("DequantizeLinear", [quantized, scale, zero_point], f"{name}:dequantized", like=value)
        return quantized, result

    def _known(self, name: str, integers: np.ndarray, scales: np.ndarray, axis: int | None, zero: int = 0) -> ir.Value:
        """The numbers that known integers stand for."""
        inputs = [
            self._builder.initializer(f"{name}:quantized", integers),
            self._builder.initializer(f"{name}:scale", scales),
            self._builder.initializer(f"{name}:zero_point", np.full(scales.shape, zero, dtype=integers.dtype)),
        ]
        attributes = {} if axis is None else {"axis": axis}
        return self._builder.op("DequantizeLinear", inputs, f"{name}:dequantized", attributes=attributes)

    def _number(self, name: str, number: np.ndarray) -> ir.Value:
        """A constant of one element, exact but for the rounding of its scale, of the activations' type."""
        real = float(number.reshape(-1)[0])
        largest = 127 if self._signed else 255
        dtype = np.int8 if self._signed else np.uint8
        # An unsigned grid reaches below zero when its zero is at the other end.
        zero = largest if real < 0 and not self._signed else 0
        integer = zero + int(np.sign(real)) * largest
        scale = np.array(abs(real) / largest or 1.0, dtype=np.float32)
        return self._known(name, np.full(number.shape, integer, dtype=dtype), scale, None, zero)

    def _hard_sigmoid(self, source: ir.Value, alpha: float, beta: float, name: str) -> tuple[ir.Node, ir.Value]:
        """max(0, min(1, alpha·x + beta)): the node that reads `source`, and the result on its grid.

        No integer kernel computes it, but a grid cuts off at its ends: x + beta/alpha on the grid from 0 to 1/alpha is
        what is sought, divided by alpha, which another scale for reading does.
        """
        shifted = self._builder.op(
            "Add", [source, self._number(f"{name}:shift", np.array(beta / alpha))], f"{name}:shifted", like=source
        )
        steps = 255
        params = QuantParams(1 / (alpha * steps), -128 if self._signed else 0, self._signed)
        _, result = self._pair(shifted, params, name, read_scale=1 / steps)
        node = shifted.producer()
        assert node is not None
        self._taken.add(node)
        return node, result

    def _replace_hard_sigmoid(self, node: ir.Node) -> None:
        source, old = node.inputs[0], node.outputs[0]
        assert source is not None
        alpha, beta = float_attribute(node, "alpha", 0.2), float_attribute(node, "beta", 0.5)
        _, result = self._hard_sigmoid(source, alpha, beta, old.name or "gate")
        self._retire(node, result)
        self._now[old] = None

    def _replace_hard_swish(self, node: ir.Node) -> None:
        source, old = node.inputs[0], node.outputs[0]
        assert source is not None
        _, gate = self._hard_sigmoid(source, 1 / 6, 0.5, f"{old.name}:gate")
        product = self._builder.op("Mul", [source, gate], f"{old.name}:product")
        multiplied = product.producer()
        assert multiplied is not None
        self._taken.add(multiplied)
        self._retire(node, product)
        self._now[old] = product

    def _retire(self, node: ir.Node, result: ir.Value) -> None:
        self._builder.replace_value(node.outputs[0], result)
        inputs = [value for value in node.inputs if value is not None]
        assert isinstance(node.graph, ir.Graph)
        node.graph.remove(node, safe=True)
        for value in inputs:
            drop_if_unused(value)


def _skip_activation(quantizer: ir.Node, params: QuantParams) -> None:
    """Let a QuantizeLinear read what the activation before it reads, if the grid lies within the activation's bounds.

    onnxruntime does so too, but not for signed integers on x86-64, and then runs the layer in float.
    """
    value = quantizer.inputs[0]
    node = value.producer() if value is not None else None
    if node is None or not is_operator(node, "Relu", "Clip") or only_consumer(node.outputs[0]) is not quantizer:
        return
    low, high = (0.0, float("inf")) if is_operator(node, "Relu") else _bounds(node)
    lowest = -128 if params.signed else 0
    half = params.scale / 2
    if (
        params.scale * (lowest - params.zero_point) < low - half
        or params.scale * (lowest + 255 - params.zero_point) > high + half
    ):
        return
    source = node.inputs[0]
    assert source is not None
    quantizer.replace_input_with(0, source)
    inputs = [bound for bound in node.inputs[1:] if bound is not None]
    assert isinstance(node.graph, ir.Graph)
    node.graph.remove(node, safe=True)
    for bound in inputs:
        drop_if_unused(bound)


def _bounds(clip: ir.Node) -> tuple[float, float]:
    """Of a Clip whose bounds are known; before opset 11 they were attributes."""
    low, high = (constant(clip.inputs[i]) if len(clip.inputs) > i else None for i in (1, 2))
    return (
        float_attribute(clip, "min", -float("inf")) if low is None else float(low.reshape(-1)[0]),
        float_attribute(clip, "max", float("inf")) if high is None else float(high.reshape(-1)[0]),
    )
